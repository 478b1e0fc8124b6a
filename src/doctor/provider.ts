/**
 * Managed Postgres, where a setting is changed in a console, and REPLICATION comes by a role. Known by what only the provider
 * has in its catalog, or, where nobody connects, by the host. What is said here is from the manuals of the providers.
 */
export type ProviderName = 'supabase' | 'rds' | 'cloudsql' | 'azure' | 'neon';

export interface Provider {
  readonly name: ProviderName;
  readonly title: string;
}

const TITLES: Readonly<Record<ProviderName, string>> = {
  supabase: 'Supabase',
  rds: 'Amazon RDS or Aurora',
  cloudsql: 'Google Cloud SQL',
  azure: 'Azure Flexible Server',
  neon: 'Neon',
};
const MARKS: Readonly<Record<string, ProviderName>> = {
  supabase_admin: 'supabase',
  rds_superuser: 'rds',
  rds_replication: 'rds',
  'rds.logical_replication': 'rds',
  cloudsqlsuperuser: 'cloudsql',
  'cloudsql.logical_decoding': 'cloudsql',
  azure_pg_admin: 'azure',
  'azure.extensions': 'azure',
  neon_superuser: 'neon',
  'neon.tenant_id': 'neon',
};
const HOSTS: readonly (readonly [RegExp, ProviderName])[] = [
  [/\.supabase\.(co|com)$/, 'supabase'],
  [/\.rds\.amazonaws\.com(\.cn)?$/, 'rds'],
  [/\.postgres\.database\.azure\.com$/, 'azure'],
  [/\.neon\.tech$/, 'neon'],
];

export function providerOf(marks: readonly string[], host: string | undefined): Provider | undefined {
  const byMark = marks.map((mark) => MARKS[mark]).find((name) => name !== undefined);
  const name = byMark ?? HOSTS.find(([pattern]) => pattern.test((host ?? '').toLowerCase()))?.[1];
  return name && { name, title: TITLES[name] };
}

const LOGICAL: Readonly<Record<ProviderName, string>> = {
  supabase: 'it is logical from the beginning; see the project in the dashboard, and ask the support',
  rds: 'set rds.logical_replication = 1 in the parameter group (of the cluster, with Aurora), then reboot the writer',
  cloudsql:
    'gcloud sql instances patch INSTANCE --database-flags=cloudsql.logical_decoding=on (it names all flags, and restarts)',
  azure: 'set the server parameter wal_level to logical, then restart the server',
  neon: 'switch logical replication on in the settings of the project',
};

/** What the provider has in place of the general remedy of an error; undefined where that one holds. */
export function providerRemedy(
  provider: Provider | undefined,
  code: string,
  { role, host }: { readonly role: string; readonly host: string | undefined },
): string | undefined {
  if (provider === undefined) return undefined;
  const { name, title } = provider;
  if (code === 'WAL_LEVEL') return `On ${title}: ${LOGICAL[name]}.`;
  if (code === 'NO_REPLICATION_ROLE') {
    return name === 'rds'
      ? `On ${title}, as the master user: GRANT rds_replication TO ${role};`
      : `On ${title}, as its administrator: ALTER ROLE ${role} WITH REPLICATION;`;
  }
  const isPooler = code === 'POOLER' || /pooler/i.test(host ?? '');
  if (isPooler) return poolerRemedy(name);
  if (code === 'SERVER_UNREACHABLE' && name === 'supabase') {
    return 'The direct host of Supabase, db.PROJECT.supabase.co, has IPv6 addresses alone: run walpost where IPv6 works, or buy the IPv4 add-on. Its pooler does not replicate.';
  }
  return undefined;
}

const DIRECT: Readonly<Record<ProviderName, string>> = {
  supabase:
    'On Supabase: db.PROJECT.supabase.co, port 5432 (IPv6, or the IPv4 add-on), not pooler.supabase.com and not port 6543.',
  rds: 'On Amazon RDS or Aurora: the endpoint of the instance or the writer of the cluster, not RDS Proxy.',
  cloudsql: 'On Google Cloud SQL: the address of the instance, or its auth proxy, not a managed pooler (port 6432).',
  azure: 'On Azure Flexible Server: port 5432, not the built-in PgBouncer on port 6432.',
  neon: 'On Neon: the host without -pooler.',
};

const poolerRemedy = (name: ProviderName): string => `Use the direct host and port in database.url. ${DIRECT[name]}`;

/** Where a setting of the server is changed; undefined on a server of one's own. */
export function providerSetting(provider: Provider | undefined, name: string, value: string): string | undefined {
  if (provider === undefined) return undefined;
  const place: Readonly<Record<ProviderName, string>> = {
    supabase: `supabase postgres-config update --config ${name}=${value} (or ask the support)`,
    rds: `set ${name} to ${value} in the parameter group`,
    cloudsql: `set the database flag ${name} to ${value}`,
    azure: `set the server parameter ${name} to ${value}`,
    neon: `${name} is set by Neon; ask the support for ${value}`,
  };
  return `On ${provider.title}: ${place[provider.name]}.`;
}
