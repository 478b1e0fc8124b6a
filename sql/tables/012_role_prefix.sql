-- Several installations in one cluster share its roles. A prefix gives an installation roles of its own; walpost migrate replaces
-- this function when roles.prefix says another one. It is a function and no setting, so that only the owner can change it.

CREATE FUNCTION walpost_internal.role_prefix() RETURNS text
LANGUAGE sql STABLE
RETURN '';

COMMENT ON FUNCTION walpost_internal.role_prefix() IS 'What the names of the roles of this installation begin with (roles.prefix).';
