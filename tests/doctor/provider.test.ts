import { describe, expect, test } from 'vitest';
import { providerOf, providerRemedy, providerSetting } from '../../src/doctor/provider.ts';

const about = { role: '"relay"', host: undefined };

describe('a provider is known', () => {
  test.each<[marks: string[], host: string | undefined, name: string | undefined]>([
    [['rds_superuser'], undefined, 'rds'],
    [['rds.logical_replication'], 'my.cname.example.com', 'rds'],
    [['cloudsqlsuperuser'], '10.0.0.3', 'cloudsql'],
    [['supabase_admin'], undefined, 'supabase'],
    [['azure_pg_admin'], undefined, 'azure'],
    [[], 'db.abcdefgh.supabase.co', 'supabase'],
    [[], 'aws-0-eu-central-1.pooler.supabase.com', 'supabase'],
    [[], 'app.cluster-x.eu-west-1.rds.amazonaws.com', 'rds'],
    [[], 'ep-cool-name-123.eu-central-1.aws.neon.tech', 'neon'],
    [[], 'evil-supabase.co.example.com', undefined],
    [[], 'localhost', undefined],
  ])('%j at %s: %s', (marks, host, name) => expect(providerOf(marks, host)?.name).toBe(name));
});

describe('the remedy is that of the provider', () => {
  const rds = providerOf(['rds_superuser'], undefined);
  const supabase = providerOf([], 'db.abc.supabase.co');
  const cloudsql = providerOf(['cloudsqlsuperuser'], undefined);

  test('wal_level', () => {
    expect(providerRemedy(rds, 'WAL_LEVEL', about)).toContain('rds.logical_replication = 1');
    expect(providerRemedy(cloudsql, 'WAL_LEVEL', about)).toContain('cloudsql.logical_decoding=on');
    expect(providerRemedy(undefined, 'WAL_LEVEL', about)).toBeUndefined();
  });

  test('the right to replicate', () => {
    expect(providerRemedy(rds, 'NO_REPLICATION_ROLE', about)).toContain('GRANT rds_replication TO "relay";');
    expect(providerRemedy(cloudsql, 'NO_REPLICATION_ROLE', about)).toContain('ALTER ROLE "relay" WITH REPLICATION;');
  });

  test('a pooler, also where it only shows as a host that cannot be reached', () => {
    const host = 'aws-0-eu-central-1.pooler.supabase.com';
    expect(providerRemedy(supabase, 'POOLER', about)).toContain('port 5432');
    expect(providerRemedy(supabase, 'SERVER_UNREACHABLE', { ...about, host })).toContain('not port 6543');
  });

  test('the direct host of Supabase, where there is no IPv6', () => {
    expect(providerRemedy(supabase, 'SERVER_UNREACHABLE', about)).toContain('IPv4 add-on');
    expect(providerRemedy(rds, 'SERVER_UNREACHABLE', about)).toBeUndefined();
  });

  test('a setting of the server', () => {
    expect(providerSetting(rds, 'max_slot_wal_keep_size', '10GB')).toContain('in the parameter group');
    expect(providerSetting(undefined, 'max_slot_wal_keep_size', '10GB')).toBeUndefined();
  });
});
