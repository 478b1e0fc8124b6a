-- Run by a superuser, before `walpost migrate`. Nobody but the server's administrator needs more rights than these.
CREATE ROLE app_owner LOGIN CREATEROLE PASSWORD ':password';
CREATE ROLE app_user LOGIN PASSWORD ':password';
CREATE ROLE app_relay LOGIN REPLICATION PASSWORD ':password';
CREATE ROLE app_operator LOGIN PASSWORD ':password';
GRANT pg_read_all_stats TO app_relay, app_operator;
