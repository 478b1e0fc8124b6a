/** From the configuration to a connection. */
import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { certificatesOf } from '../../certificate-file.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import type { SinkContext } from '../../sink-context.ts';
import { privateKeyOf } from '../broker/private-key.ts';

type NatsConfig = SinkConfigOf<'nats'>;

/** Milliseconds until one server has to have answered. */
const CONNECT_TIMEOUT = 5000;
/** Milliseconds between pings; a server that misses two of them is taken for lost. */
const PING_INTERVAL = 10_000;

export async function openNats(config: NatsConfig, { name }: Pick<SinkContext, 'name'>): Promise<NatsConnection> {
  return connect({
    servers: config.servers,
    name: `walpost sink ${name}`,
    reconnect: false,
    noAsyncTraces: true,
    timeout: CONNECT_TIMEOUT,
    pingInterval: PING_INTERVAL,
    ...credentials(config),
    ...tlsOptions(config),
  });
}

function credentials(config: NatsConfig) {
  const { user, password, token, nkey, credentials: file } = config;
  if (user !== undefined && password !== undefined) return { user, pass: password };
  if (token !== undefined) return { token };
  if (nkey !== undefined) return { authenticator: nkeyAuthenticator(Buffer.from(nkey)) };
  if (file === undefined) return {};
  return {
    authenticator: credsAuthenticator(() => (file.includes('-----BEGIN') ? Buffer.from(file) : readFileSync(file))),
  };
}

function tlsOptions({ tls }: NatsConfig) {
  if (!tls) return {};
  const { ca, certificate, key, first } = tls;
  return {
    tls: {
      handshakeFirst: first,
      ...(ca !== undefined && { ca: certificatesOf(ca) }),
      ...(certificate !== undefined && { cert: certificatesOf(certificate) }),
      ...(key !== undefined && { key: privateKeyOf(key) }),
    },
  };
}
