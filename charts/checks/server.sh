server_checks() { :; }; end_server() { :; }
