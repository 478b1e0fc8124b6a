/** A primary, its physical standby, and one address that leads to whichever of the two is the server. */
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { messageOf } from '../../src/errors.ts';
import { type Lsn, parseLsn } from '../../src/lsn.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { onServer, startStandby } from '../support/standby.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

export const position = (text: string | null | undefined): Lsn => parseLsn(text ?? '') ?? -1n;

export class FailoverServers implements AsyncDisposable {
  /** What the standby reads the primary through. */
  readonly link: TcpProxy;
  readonly primary: EmbeddedPostgres;
  readonly standby: EmbeddedPostgres;
  private readonly address: TcpProxy;

  private constructor(primary: EmbeddedPostgres, link: TcpProxy, standby: EmbeddedPostgres, address: TcpProxy) {
    this.primary = primary;
    this.link = link;
    this.standby = standby;
    this.address = address;
  }

  static async start(): Promise<FailoverServers> {
    const primary = await startServer();
    const link = await TcpProxy.before(primary.url());
    const standby = await startStandby(primary, link.port);
    return new FailoverServers(primary, link, standby, await TcpProxy.before(primary.url()));
  }

  /** Where walpost and its database are, before and after. */
  get url(): string {
    return this.address.url(this.primary.url());
  }

  /** Where the primary's WAL ends. */
  end(): Promise<Lsn> {
    return this.positionOf(this.primary, 'pg_current_wal_lsn()');
  }

  /** Resolves when the standby has what the primary has written now. */
  async catchUp(): Promise<void> {
    const end = await this.end();
    await poll('the standby has it', async () => {
      return (await this.positionOf(this.standby, 'pg_last_wal_replay_lsn()')) >= end || undefined;
    });
  }

  /**
   * What the primary streams from the slot does not arrive any more; what is confirmed still does. Each keepalive would move
   * the slot on, beyond what a standby has that is not to get the rows behind it.
   */
  async mute(slot: string): Promise<void> {
    const { rows } = await onServer(this.primary, (client) =>
      client.query<{ port: number }>(
        `SELECT a.client_port AS port FROM pg_stat_activity AS a JOIN pg_replication_slots AS s ON s.active_pid = a.pid
          WHERE s.slot_name = $1`,
        [slot],
      ),
    );
    this.address.mute(rows[0]?.port ?? 0);
  }

  /** The primary is gone, and the standby is the server. */
  async failOver(): Promise<void> {
    await this.primary.stop('immediate');
    this.link.cut();
    await onServer(this.standby, (client) => client.query('SELECT pg_promote()'));
    this.address.redirect({ host: '127.0.0.1', port: this.standby.port });
    this.address.cut();
  }

  /** Where the slot is on the standby; negative while it is not there to stay. */
  private slotOnStandby(slot: string): Promise<Lsn> {
    const where = `(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '${slot}' AND NOT temporary)`;
    return this.positionOf(this.standby, where);
  }

  /** Makes the standby keep the slot; `move` moves it on, until the standby can begin with it. */
  async beginSync(slot: string, move: () => Promise<void>): Promise<void> {
    await this.synchronize('on');
    const begun = async (): Promise<true | undefined> => {
      await onServer(this.primary, (client) => client.query('SELECT pg_log_standby_snapshot()'));
      await move();
      return (await this.slotOnStandby(slot)) > 0n || undefined;
    };
    await poll('the slot is on the standby', begun, 60_000);
    await this.synchronize('off'); // from here on only when it is told
  }

  /** Brings the position of the slot, and nothing else, to the standby. */
  async sync(slot: string, beyond: Lsn): Promise<void> {
    const moved = async (): Promise<true | undefined> => {
      // The worker of beginSync may not have ended yet, the standby not have what the slot is beyond, or the link have been cut.
      await this.askForSlots().catch((error: unknown) => {
        if (!/concurrently|ahead of the standby position|server closed the connection/.test(messageOf(error)))
          throw error;
      });
      return (await this.slotOnStandby(slot)) > beyond || undefined;
    };
    await poll('the slot moves on at the standby', moved, 60_000); // it connects again first, on a busy machine too
  }

  /** The standby looks once where the slots of the primary are. */
  async askForSlots(): Promise<void> {
    await onServer(this.standby, (client) => client.query('SELECT pg_sync_replication_slots()'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.address[Symbol.asyncDispose]();
    await this.link[Symbol.asyncDispose]();
    await this.standby[Symbol.asyncDispose]();
    await this.primary[Symbol.asyncDispose]();
  }

  private async synchronize(value: 'on' | 'off'): Promise<void> {
    await onServer(this.standby, async (client) => {
      await client.query(`ALTER SYSTEM SET sync_replication_slots = ${value}`);
      await client.query('SELECT pg_reload_conf()');
    });
  }

  private async positionOf(server: EmbeddedPostgres, expression: string): Promise<Lsn> {
    const { rows } = await onServer(server, (client) =>
      client.query<{ lsn: string | null }>(`SELECT ${expression}::text AS lsn`),
    );
    return position(rows[0]?.lsn);
  }
}
