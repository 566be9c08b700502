"""What runs inside the containers of `docker/`: one program each, and the question whether it is well."""
