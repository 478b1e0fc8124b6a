/** The part of the list in errors.ts that is about reaching a server and being let in. */
import { entry, type ErrorEntry } from './error-entry.ts';

export const CONNECTION_CODES = {
  PASSWORD_MISSING: entry(
    'operator',
    'The server asks for a password, and there is none.',
    'Write it into database.url (postgres://USER:PASSWORD@…), or set PGPASSWORD, or name the login in a .pgpass file.',
  ),
  TLS_NOT_OFFERED: entry(
    'operator',
    'The server does not offer TLS, and sslmode in database.url demands it.',
    'Switch ssl on at the server, or set sslmode=disable where the network is private.',
  ),
  TLS_REQUIRED: entry(
    'operator',
    'The server refuses this role, database and address without TLS.',
    'If the server has no TLS, add a line to its pg_hba.conf. Else add sslmode=verify-full to database.url, see docs/connecting.md: tls.',
  ),
  TLS_HOST_NAME: entry(
    'operator',
    'The certificate of the server is for another host name.',
    'Write a name of the certificate as the host in database.url; where none can be reached, sslmode=verify-ca with sslrootcert.',
  ),
  TLS_CLIENT_CERTIFICATE: entry(
    'operator',
    'The server asks for a client certificate, and there is none.',
    'Name its files in database.url: sslcert and sslkey.',
  ),
  CHANNEL_BINDING: entry(
    'operator',
    'channel_binding=require in database.url demands what the server does not offer.',
    'Let pg_hba.conf say scram-sha-256, set the password again, and connect without a proxy that ends TLS; or write sslmode=verify-full alone.',
  ),
  TLS_CLIENT_REFUSED: entry(
    'retry',
    'The server does not accept the client certificate.',
    'Replace the files of sslcert and sslkey by ones of a CA that the server trusts; they are read again for each connection.',
  ),
  TLS_UNTRUSTED: entry(
    'retry',
    'The certificate of the server is of no CA that walpost trusts.',
    'Name the file of the CA in sslrootcert of database.url, or put the new CA into it: it is read again for each connection.',
  ),
  TLS_EXPIRED: entry(
    'retry',
    'The certificate of the server, or of its CA, has expired or is not valid yet.',
    'Renew it at the server, and look at the clocks of both machines.',
  ),
  TLS_FILE: entry(
    'retry',
    'A certificate or key in database.url cannot be used.',
    'Correct the file that is named; it is read again for each connection.',
  ),
  TLS_HANDSHAKE: entry(
    'retry',
    'Server and walpost do not agree on TLS.',
    'Check host and port in database.url, and the versions of TLS that the server allows (ssl_min_protocol_version).',
  ),
  TOO_MANY_CONNECTIONS: entry(
    'retry',
    'All connections that the server allows are in use.',
    'End some, or raise the limit that the server names: max_connections, max_wal_senders, or that of the role or database.',
  ),
  HOT_STANDBY: entry(
    'retry',
    'The server is a hot standby, and takes no writes.',
    'Name the primary in database.url, or promote this server: walpost writes its cursor, so it needs a primary.',
  ),
  SERVER_UNREACHABLE: entry(
    'retry',
    'The server cannot be reached.',
    'Check host and port in database.url, and that the server runs.',
  ),
} as const satisfies Record<string, ErrorEntry>;
