"""etcd, kube-apiserver and kube-controller-manager, on free ports of this machine.

The controller manager runs its node-ipam-controller only, without cloud routes: it
assigns each Node its pod CIDRs.
"""

from __future__ import annotations

import json
import socket
import ssl
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from lightkube import Client, KubeConfig
from lightkube.core.client import LabelSelector
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.core_v1 import NodeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.operators import not_exists
from lightkube.resources.core_v1 import Node, ServiceAccount
from lightkube.resources.rbac_authorization_v1 import ClusterRole, ClusterRoleBinding
from lightkube.types import PatchType

from sandbox.kube import binaries
from sandbox.kube.process import Process

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

POD_RANGE: Final = "10.200.0.0/16"
POD_RANGE_V6: Final = "fd00:200::/48"
_ADMIN_TOKEN: Final = "sandbox"
_NOT_BOOTSTRAPPED: Final[LabelSelector] = {"kubernetes.io/bootstrapping": not_exists()}
"""The label is on the roles and bindings that the API server itself creates."""
_API: Final = "kube-apiserver"
_CONTROLLERS: Final = "kube-controller-manager"
_NAME: Final = "lab"
"""The cluster and the context in a kubeconfig."""
_KEY: Final = "accounts.pem"
_TOKENS: Final = "tokens.csv"


class ControlPlane:
    """A control plane, for as long as the `with` block runs.

    Attributes:
        folder: its credentials, logs and data.
        kubeconfig: the administrator's.
        client: the administrator's.
        pod_ranges: the range of the pod CIDRs, of one IP family or of each.
    """

    folder: Path
    kubeconfig: Path
    client: Client

    def __init__(self, *, dual_stack: bool = False) -> None:
        """Prepare a control plane, by default with IPv4 pod CIDRs only."""
        self.pod_ranges = [POD_RANGE, POD_RANGE_V6] if dual_stack else [POD_RANGE]
        self._processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        """Start the control plane, and wait until its API is ready.

        Raises:
            ProgramError: a program is missing.
            ProcessError: a process fails.
        """
        self._programs = binaries.find()
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="pod-routes-kube-")
            self.folder = Path(stack.enter_context(temporary))
            stack.callback(self._stop)
            etcd, peers, self._port = (_reserve(stack) for _ in range(3))
            self._etcd = f"http://127.0.0.1:{etcd}"
            self._write_keys()
            self._start_etcd(f"http://127.0.0.1:{peers}")
            self.start_api()
            self.kubeconfig = self._write_kubeconfig("admin", _ADMIN_TOKEN)
            self.start_controllers()
            config = KubeConfig.from_file(self.kubeconfig)
            self.client = stack.enter_context(
                Client(config, trust_env=False, field_manager="sandbox")
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start_api(self) -> None:
        """Start the API server; again with the same port, keys and data.

        Raises:
            ProcessError: it isn't ready in time.
        """
        key = self.folder / _KEY
        self._start(
            _API,
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"),
            *(f"--secure-port={self._port}", "--permit-port-sharing"),
            "--endpoint-reconciler-type=none",  # it refuses a loopback address
            f"--etcd-servers={self._etcd}",
            f"--cert-dir={self.folder}",
            "--service-cluster-ip-range=10.32.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--token-auth-file={self.folder / _TOKENS}",
            "--authorization-mode=RBAC",
        )
        self._processes[_API].wait_for(self._is_ready, "be ready")

    def stop_api(self) -> None:
        """Kill the API server; its port then refuses connections."""
        self._processes.pop(_API).stop()

    def start_controllers(self) -> None:
        """Start the controller manager, without waiting for it.

        "Mask size for node cidr in cluster. Default is 24 for IPv4 and 64 for IPv6."
        (https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/)
        """
        self._start(
            _CONTROLLERS,
            f"--kubeconfig={self.kubeconfig}",
            "--controllers=node-ipam-controller",
            "--allocate-node-cidrs",
            "--configure-cloud-routes=false",
            f"--cluster-cidr={','.join(self.pod_ranges)}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def stop_controllers(self) -> None:
        """Kill the controller manager; Nodes then get no pod CIDRs."""
        self._processes.pop(_CONTROLLERS).stop()

    def kubeconfig_of(self, account: str, rules: Sequence[PolicyRule] = ()) -> Path:
        """Return the kubeconfig of a service account that has just these rights.

        The account, its cluster role and the binding of both are created or updated.
        """
        metadata = ObjectMeta(name=account)
        role = RoleRef(
            apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=account
        )
        subject = Subject(
            kind="ServiceAccount", name=account, namespace=self.client.namespace
        )
        for each in (
            ServiceAccount(metadata=metadata),
            ClusterRole(metadata=metadata, rules=[*rules]),
            ClusterRoleBinding(metadata=metadata, roleRef=role, subjects=[subject]),
        ):
            self.client.apply(each, force=True)
        request = ServiceAccount.Token(
            metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[])
        )
        answer = self.client.create(request, account)
        assert answer.status  # noqa: S101 - the API server sets it
        return self._write_kubeconfig(account, str(answer.status.token))

    def join(
        self,
        ec2: EC2Client,
        name: str,
        instance_id: str,
        pod_cidrs: Sequence[str] = (),
    ) -> None:
        """Register an instance as a Node, with its addresses and its zone.

        Without `pod_cidrs` the controller manager assigns some.
        """
        (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])[
            "Reservations"
        ]
        (instance,) = reservation["Instances"]
        addresses = [instance["PrivateIpAddress"]]
        if address := instance.get("Ipv6Address"):
            addresses.append(address)
        zone = instance["Placement"]["AvailabilityZone"]
        self.register(name, instance_id, zone, addresses, pod_cidrs=pod_cidrs)

    def register(  # noqa: PLR0913 - what differs between Nodes
        self,
        name: str,
        instance_id: str,
        zone: str,
        addresses: Sequence[str],
        *,
        provider_id: str | None = None,
        pod_cidrs: Sequence[str] = (),
    ) -> None:
        """Create a Node as a kubelet does, and report it as ready.

        Args:
            name: its name.
            instance_id: the instance in its provider id.
            zone: the availability zone in its provider id.
            addresses: its InternalIP addresses.
            provider_id: another provider id; an empty one for none.
            pod_cidrs: pod CIDRs that the controller manager doesn't assign.
        """
        if provider_id is None:
            provider_id = f"aws:///{zone}/{instance_id}"
        spec = NodeSpec(providerID=provider_id or None)
        if pod_cidrs:
            spec.podCIDR, spec.podCIDRs = pod_cidrs[0], [*pod_cidrs]
        self.client.create(Node(metadata=ObjectMeta(name=name), spec=spec))
        status = {
            "addresses": [
                {"type": "InternalIP", "address": each} for each in addresses
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self.client.patch(
            Node.Status, name, {"status": status}, patch_type=PatchType.MERGE
        )

    def wait_for_cidr(self, name: str) -> tuple[str, ...]:
        """Return the pod CIDRs of a Node as soon as it has some.

        Raises:
            ProcessError: the controller manager assigns none in time.
        """

        def pod_cidrs() -> tuple[str, ...]:
            spec = self.client.get(Node, name).spec
            return tuple(spec.podCIDRs or ()) if spec else ()

        controllers = self._processes[_CONTROLLERS]
        return controllers.wait_for(pod_cidrs, f"assign a pod CIDR to {name}")

    def delete(self, name: str) -> None:
        """Delete a Node."""
        self.client.delete(Node, name)

    def reset(self) -> None:
        """Delete all Nodes, service accounts, and cluster roles that tests created.

        A stopped process is started again.
        """
        if _API not in self._processes:
            self.start_api()
        if _CONTROLLERS not in self._processes:
            self.start_controllers()
        self.client.deletecollection(Node)
        self.client.deletecollection(ServiceAccount)
        for binding in self.client.list(ClusterRoleBinding, labels=_NOT_BOOTSTRAPPED):
            self.client.delete(ClusterRoleBinding, _name(binding))
        for role in self.client.list(ClusterRole, labels=_NOT_BOOTSTRAPPED):
            self.client.delete(ClusterRole, _name(role))

    def _start_etcd(self, peers: str) -> None:
        self._start(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            f"--listen-peer-urls={peers}",
            "--socket-reuse-port",
            "--unsafe-no-fsync",
            "--log-level=error",
        )

    def _start(self, name: str, *options: str) -> None:
        log = self.folder / f"{name}.log"
        self._processes[name] = Process(self._programs[name], options, log)

    def _stop(self) -> None:
        for process in self._processes.values():
            process.stop()

    def _is_ready(self) -> bool:
        """Return whether the API server answers that it is ready."""
        headers = {"Authorization": f"Bearer {_ADMIN_TOKEN}"}
        try:
            trusted = ssl.create_default_context(cafile=self._certificate)
            server = HTTPSConnection(
                "127.0.0.1", self._port, timeout=5, context=trusted
            )
            with closing(server):
                server.request("GET", "/readyz", headers=headers)
                return server.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False

    @property
    def _certificate(self) -> Path:
        """The API server's certificate, which it creates itself, with its authority."""
        return self.folder / "apiserver.crt"

    def _write_keys(self) -> None:
        """Write the key that signs tokens of service accounts, and the first token."""
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        (self.folder / _KEY).write_bytes(key)
        (self.folder / _TOKENS).write_text(f"{_ADMIN_TOKEN},admin,0,system:masters\n")

    def _write_kubeconfig(self, user: str, token: str) -> Path:
        cluster = {
            "server": f"https://127.0.0.1:{self._port}",
            "certificate-authority": str(self._certificate),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _NAME, "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": user}}],
            "current-context": _NAME,
        }
        file = self.folder / f"{user}.kubeconfig"
        file.write_text(json.dumps(content))
        return file


def _reserve(stack: ExitStack) -> int:
    """Keep a free port from everybody but listeners with SO_REUSEPORT."""
    holder = stack.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    return port


def _name(created: ClusterRole | ClusterRoleBinding) -> str:
    assert created.metadata  # noqa: S101 - the API server sets it
    return str(created.metadata.name)
