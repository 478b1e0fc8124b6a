-- Run by the owner of the database, after `walpost migrate` has made the roles of walpost.
GRANT walpost_publisher TO app_user;
GRANT walpost_relay TO app_relay;
GRANT walpost_operator TO app_operator;
