"""Files of users: YAML with lines, checked and read into the models of the API."""
