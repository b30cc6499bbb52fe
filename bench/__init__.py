"""The program against the shell loop, Terraform and the floor, in one run."""
