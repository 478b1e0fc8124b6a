import type { TestDatabase } from './database.ts';

/** For each setting that walpost pins, a value that breaks something, or would be seen. */
export const HOSTILE: Readonly<Record<string, string>> = {
  DateStyle: "'SQL, DMY'",
  IntervalStyle: "'iso_8601'",
  TimeZone: "'Asia/Kolkata'",
  timezone_abbreviations: "'India'",
  client_encoding: "'LATIN1'",
  bytea_output: "'escape'",
  extra_float_digits: '-10',
  lc_monetary: "'C.UTF-8'",
  lc_numeric: "'C.UTF-8'",
  lc_time: "'C.UTF-8'",
  quote_all_identifiers: 'on',
  xmlbinary: "'hex'",
  xmloption: "'document'",
  array_nulls: 'off',
  backslash_quote: 'off',
  standard_conforming_strings: 'off',
  transform_null_equals: 'on',
  search_path: 'hostile, pg_catalog',
  'plpgsql.extra_errors': "'all'",
  role: "'hostile_role'",
  row_security: 'off',
  gin_fuzzy_search_limit: '1',
  'app.current_org_id': "'00000000-0000-0000-0000-000000000001'",
  default_table_access_method: "'heap'",
  default_transaction_deferrable: 'on',
  default_transaction_isolation: "'serializable'",
  default_transaction_read_only: 'on',
  exit_on_error: 'on',
  idle_in_transaction_session_timeout: '200',
  idle_session_timeout: '200',
  lock_timeout: '1',
  statement_timeout: '100',
  client_min_messages: "'debug1'",
  transaction_timeout: '150',
  restrict_nonsystem_relation_kind: "'view'",
};

/**
 * Sets all of them (that the server knows) with `ALTER … SET`, and resets them when the result is called. There is a schema
 * in the way of pg_catalog, and a role that may do nothing, which the login is a member of.
 */
export async function makeHostile(database: TestDatabase, alter: string, login?: string): Promise<() => Promise<void>> {
  const own = `${database.name}_hostile`;
  await database.query(
    `CREATE ROLE "${own}" NOLOGIN; CREATE SCHEMA hostile; GRANT USAGE ON SCHEMA hostile TO PUBLIC;
     CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '-infinity'::timestamptz $$;
     CREATE FUNCTION hostile.to_regclass(text) RETURNS regclass LANGUAGE sql AS $$ SELECT NULL::regclass $$;
     CREATE VIEW hostile.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false`,
  );
  if (login !== undefined) await database.query(`GRANT "${own}" TO "${login}"`);
  const rows = await database.query<{ name: string }>(
    `SELECT name FROM unnest($1::text[]) AS name WHERE current_setting(name, true) IS NOT NULL OR name LIKE '%.%'`,
    [Object.keys(HOSTILE)],
  );
  for (const { name } of rows) {
    const value = name === 'role' ? own : (HOSTILE[name] ?? '');
    await database.query(`${alter} SET ${name} = ${value}`);
  }
  return async () => {
    await database.query(`${alter} RESET ALL; DROP SCHEMA hostile CASCADE; DROP ROLE "${own}"`);
  };
}
