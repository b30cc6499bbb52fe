#!/usr/bin/env bash
# Create the pods' routes by hand: three calls of the AWS CLI for each worker.
# usage: loop.sh ROUTE_TABLE_ID WORKER...
set -euo pipefail

table=$1
shift
for name; do
  id=$(aws ec2 describe-instances --filters "Name=tag:Name,Values=$name" \
    --query 'Reservations[].Instances[].InstanceId' --output text)
  cidr=$(aws ec2 describe-instance-attribute --instance-id "$id" \
    --attribute userData --query UserData.Value --output text |
    base64 --decode | tr '|' '\n' | sed -n 's/^pod-cidr=//p')
  aws ec2 create-route --route-table-id "$table" \
    --destination-cidr-block "$cidr" --instance-id "$id" >/dev/null
done
