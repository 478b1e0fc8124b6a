/** What `walpost init` writes. Secrets stand in `.env` alone; the files name the variables. */
import { isRefusedHost } from '../refused-address.ts';
import { VERSION } from '../version.ts';
import type { Answers } from './init-answers.ts';

/** A secret of 32 random bytes in base64. */
export type MakeSecret = () => string;

export function configurationText(answers: Answers): string {
  const { sink, events, port } = answers;
  return `# Every option: docs/configuration.md. \`walpost config check\` names each problem with its line.
database:
  url: '\${DATABASE_URL}' # the direct host: a pooler cannot carry a replication connection
sinks:
  ${sink}:
    type: ${sink}
${sinkLines(answers).join('')}routes:
  - { match: { event_type: '${events}' }, to: [${sink}] }
http:
  port: ${port}
  token: '\${WALPOST_HTTP_TOKEN}' # for /status and /metrics
`;
}

function sinkLines({ sink, url }: Answers): string[] {
  if (sink === 'stdout') return [];
  const lines = [`    url: '\${SINK_URL}'\n`];
  lines.push(sink === 'webhook' ? `    secret: '\${SINK_SECRET}'\n` : `    key: '\${SUPABASE_SERVICE_ROLE_KEY}'\n`);
  if (isPrivate(url))
    lines.push('    allow_private: true # the host is in a private network, which sinks refuse by default\n');
  return lines;
}

/** A name without a dot is one of this machine or of a network of containers. */
function isPrivate(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  return isRefusedHost(host) || !/[.:]/.test(host);
}

export function composeText({ port }: Answers): string {
  return `# docker compose up. The image: docker build -t walpost:${VERSION} . in a clone of walpost.
# Inside a container 127.0.0.1 is the container: use names that it can reach in .env.
x-walpost: &walpost
  image: walpost:${VERSION}
  env_file: .env
  volumes: ['./walpost.yaml:/etc/walpost/walpost.yaml:ro']
  read_only: true
  cap_drop: [ALL]
  security_opt: ['no-new-privileges:true']

services:
  migrate:
    <<: *walpost
    command: [migrate]
    restart: 'no'
    healthcheck: { disable: true }

  walpost:
    <<: *walpost
    environment: { WALPOST__HTTP__HOST: 0.0.0.0, WALPOST__HTTP__PORT: '${port}' }
    ports: ['127.0.0.1:${port}:${port}']
    restart: unless-stopped
    stop_grace_period: 30s
    depends_on:
      migrate: { condition: service_completed_successfully }
`;
}

/** Lines for `.env`, without the variables that it has. */
export function secretLines({ databaseUrl, sink, url }: Answers, known: ReadonlySet<string>, make: MakeSecret): string {
  const variables: (readonly [name: string, value: string])[] = [
    ['DATABASE_URL', databaseUrl],
    ['WALPOST_HTTP_TOKEN', make()],
  ];
  if (sink !== 'stdout') variables.push(['SINK_URL', url]);
  if (sink === 'webhook') variables.push(['SINK_SECRET', `whsec_${make()}`]);
  if (sink === 'realtime') variables.push(['SUPABASE_SERVICE_ROLE_KEY', '']);
  const missing = variables.filter(([name]) => !known.has(name));
  return missing.map(([name, value]) => `${name}='${value}'\n`).join('');
}
