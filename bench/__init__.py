"""Compare the program with the shell loop, Terraform and the bare engine."""
