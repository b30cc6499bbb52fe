# The same routes as Terraform users declare them: a lookup for each worker.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

variable "route_table_id" {
  type = string
}

variable "workers" {
  type = set(string)
}

data "aws_instance" "worker" {
  for_each      = var.workers
  get_user_data = true

  filter {
    name   = "tag:Name"
    values = [each.value]
  }

  filter {
    name   = "instance-state-name"
    values = ["running"]
  }
}

resource "aws_route" "pods" {
  for_each               = data.aws_instance.worker
  route_table_id         = var.route_table_id
  destination_cidr_block = regex("pod-cidr=([0-9./]+)", base64decode(each.value.user_data_base64))[0]
  network_interface_id   = each.value.network_interface_id
}
