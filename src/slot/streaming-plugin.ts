import type { Client } from 'pg';
import type { LogicalReplicationService } from 'pg-logical-replication';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { beginSession } from '../postgres/session.ts';
import { connectionOf, processIdOf } from './replication-client.ts';
import type { ReplicationConnection } from './replication-client.ts';

/** What happens on the connection, told to the stream synchronously. */
export interface StreamEvents {
  /** The session is open; START_REPLICATION goes out next. */
  connected(connection: ReplicationConnection, backendPid: number): void;
  started(): void;
  /** One replication frame: a view into a buffer that the driver uses again. */
  frame(frame: Buffer): void;
  /** Bytes have arrived, whatever they are. */
  heard(): void;
  /** The server ended the stream in good order. */
  ended(): void;
}

type LibraryPlugin = Parameters<LogicalReplicationService['subscribe']>[0];

/**
 * Our own plugin for pg-logical-replication: the library connects, this takes the stream from there.
 *
 * The library's own listener makes a string, a promise and an emitter call for each message, which at 150,000 messages
 * a second costs more than decoding them. So the plugin puts its listener in that one's place. It also replaces the
 * library's acknowledging, which confirms one byte too far.
 */
export class StreamingPlugin implements LibraryPlugin {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
  private readonly events: StreamEvents;

  constructor(plugin: string, options: Readonly<Record<string, string>>, events: StreamEvents) {
    this.name = plugin;
    this.options = options;
    this.events = events;
  }

  async start(client: Client, slot: string, startLsn: string): Promise<void> {
    await beginSession(client); // before anybody listens for the end of a command
    const connection = connectionOf(client);
    const events = this.events;
    connection.removeAllListeners('copyData');
    connection.on('copyData', (message: { chunk: Buffer }) => events.frame(message.chunk));
    connection.once('replicationStart', () => events.started());
    connection.on('commandComplete', () => events.ended());
    connection.stream.on('data', () => events.heard());
    events.connected(connection, processIdOf(client));
    await client.query(startReplication(slot, startLsn, this.options));
  }

  /** Never called: the library's listener is gone. */
  parse(): never {
    throw new Error('frames do not pass through the library');
  }
}

/** `START_REPLICATION SLOT "s" LOGICAL 0/0 ("proto_version" '1')`. */
export function startReplication(slot: string, startLsn: string, options: Readonly<Record<string, string>>): string {
  const list = Object.entries(options).map(([name, value]) => `${quoteIdentifier(name)} ${quoteOption(value)}`);
  const suffix = list.length > 0 ? ` (${list.join(', ')})` : '';
  return `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${startLsn}${suffix}`;
}

/** The grammar of replication commands knows one kind of string: no parameters, no backslashes. */
function quoteOption(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
