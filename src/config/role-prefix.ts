/** What the names of the roles may begin with. With the longest name of a role it fits into an identifier. */
export const ROLE_PREFIX = /^(?!pg_)[a-z][a-z0-9_]{0,39}$/;
