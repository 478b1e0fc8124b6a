import type { Socket } from 'node:net';
import { LogicalReplicationService } from 'pg-logical-replication';
import type { Clock, Timer } from '../clock.ts';
import { asDefect, WalpostError } from '../errors.ts';
import { LSN_ZERO } from '../lsn.ts';
import type { Lsn } from '../lsn.ts';
import { postgresMicros } from '../pg-time.ts';
import type { FrameHandler } from '../pipeline.ts';
import { Heartbeat } from './heartbeat.ts';
import { replicationConfig } from './replication-client.ts';
import type { ReplicationConnection } from './replication-client.ts';
import { replicationError } from './replication-error.ts';
import {
  POSITION,
  WAL_DATA,
  frameKind,
  keepaliveAsksReply,
  keepaliveEnd,
  walDataPayload,
} from './replication-frame.ts';
import { encodeStandbyStatus, statusFor } from './standby-status.ts';
import type { StatusOccasion } from './standby-status.ts';
import { StreamPosition } from './stream-position.ts';
import { StreamingPlugin } from './streaming-plugin.ts';

export interface SlotStreamOptions {
  readonly url: string;
  readonly slot: string;
  readonly plugin: 'pgoutput' | 'wal2json';
  readonly pluginOptions: Readonly<Record<string, string>>;
  readonly handler: FrameHandler;
  readonly clock: Clock;
  /** The server's own setting in milliseconds; 0 when it is switched off. */
  readonly walSenderTimeout: number;
}

/** Maximum wait in `finish` for the server's answer. */
const FINISH_TIMEOUT_MS = 5_000;

/** Above this many unsent bytes a confirmation waits for the next periodic status. */
const UNSENT_LIMIT = 4_096;

/**
 * One connection to the slot, from START_REPLICATION to the end of the socket.
 *
 *   idle -> connecting -> streaming -> finishing -> closed
 *
 * It can close from every state: when the signal aborts (`run` resolves), when the server ends, shuts down or falls
 * silent, or when the handler throws (`run` rejects). A closed stream stays closed; the next connection is a new one,
 * because what was received and confirmed belongs to the connection. Streams start at 0/0, which means "where the slot
 * is": an LSN that is too old is ignored by the server, and one that is too new skips events without a word.
 *
 * No frame waits in here. A consumer that cannot take more calls `pause`: the frames of the chunk that was read still arrive, then
 * nothing is read, while the timer goes on sending statuses.
 */
export class SlotStream {
  /** Resolves when the server streams; rejects when the stream ends before that. */
  readonly started: Promise<void>;
  private readonly options: SlotStreamOptions;
  private readonly position = new StreamPosition();
  private readonly heartbeat: Heartbeat;
  private state: 'idle' | 'connecting' | 'streaming' | 'finishing' | 'closed' = 'idle';
  private markStarted: () => void = () => {};
  private markNotStarted: (reason: Error) => void = () => {};
  private failure: Error | undefined;
  private answered = false;
  private paused = false;
  private socket: Socket | undefined;
  private connection: ReplicationConnection | undefined;
  private pid: number | undefined;
  private ending: Promise<void> | undefined;
  private finishTimer: Timer | undefined;
  private keepaliveLsn: Lsn = LSN_ZERO;

  constructor(options: SlotStreamOptions) {
    this.options = options;
    this.heartbeat = new Heartbeat({
      clock: options.clock,
      walSenderTimeout: options.walSenderTimeout,
      sendStatus: () => this.sendStatus('periodic'),
      onSilence: (limit) => this.fail(silence(limit)),
    });
    this.started = new Promise((resolve, reject) => {
      this.markStarted = resolve;
      this.markNotStarted = reject;
    });
    this.started.catch(() => {}); // avoids an unhandled rejection when nobody awaits it
  }

  /** Everything before this has arrived on this connection. */
  get received(): Lsn {
    return this.position.received;
  }

  /** What this connection has confirmed; zero before the first time. */
  get confirmed(): Lsn {
    return this.position.confirmed;
  }

  /** The last keepalive's position. */
  get serverEnd(): Lsn {
    return this.keepaliveLsn;
  }

  /** When the last byte arrived, on the clock's `now`. */
  get lastReceivedAt(): number {
    return this.heartbeat.heardAt;
  }

  /** The walsender's process id; undefined until there is a session. */
  get backendPid(): number | undefined {
    return this.pid;
  }

  /** Connects and streams until the signal aborts, which closes the socket at once. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.state !== 'idle') throw new Error('a slot stream runs once');
    this.state = 'connecting';
    const abort = (): void => this.close();
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) this.close();
      else await (this.ending = this.stream());
    } finally {
      signal.removeEventListener('abort', abort);
    }
    if (this.failure) throw this.failure;
  }

  /** Tells the server that everything before this LSN, exactly, is safe. Without effect once the stream has ended. */
  confirm(lsn: Lsn): void {
    if (this.state !== 'streaming') return;
    if (this.position.confirm(lsn) && this.unsent <= UNSENT_LIMIT) this.sendStatus('confirmed');
  }

  /**
   * Ends in good order: a last status, then the end of the copy. True when the server has answered that, and so has read
   * the status; false when there was nothing to end, or no answer in time. `run` resolves either way.
   */
  async finish(): Promise<boolean> {
    if (this.state === 'streaming') {
      this.sendStatus('confirmed');
      this.state = 'finishing';
      this.connection?.endCopyFrom();
      this.resume();
      this.heartbeat.stop();
      this.finishTimer = this.options.clock.schedule(FINISH_TIMEOUT_MS, () => this.close());
    } else if (this.state !== 'finishing') {
      this.close();
    }
    await this.ending;
    return this.answered;
  }

  /** Stops reading. The frames of the chunk in hand still arrive. */
  pause(): void {
    if (this.paused || this.state === 'finishing') return;
    this.paused = true;
    this.heartbeat.pause();
    this.connection?.stream.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.heartbeat.resume();
    this.connection?.stream.resume();
  }

  private get unsent(): number {
    return this.connection?.stream.writableLength ?? 0;
  }

  /** Resolves when the connection is gone; why it went is in `failure`. */
  private async stream(): Promise<void> {
    const { url, slot, plugin, pluginOptions } = this.options;
    const { config, socket } = replicationConfig({ url });
    this.socket = socket;
    const service = new LogicalReplicationService(config, { acknowledge: { auto: false, timeoutSeconds: 0 } });
    service.on('error', () => {}); // the same error rejects subscribe
    const tap = new StreamingPlugin(plugin, pluginOptions, {
      connected: (connection, pid) => this.onConnected(connection, pid),
      started: () => this.onStarted(),
      frame: (frame) => this.onFrame(frame),
      heard: this.heartbeat.heard,
      ended: () => this.onServerEnded(),
    });
    try {
      // Rejects with the first error of the server, 57P01 to 57P03 too, whether or not the socket ends after it.
      await service.subscribe(tap, slot, '0/0');
      this.close();
    } catch (error) {
      this.fail(replicationError(error));
    }
    await service.destroy();
  }

  private onConnected(connection: ReplicationConnection, pid: number): void {
    this.connection = connection;
    this.pid = pid;
    if (this.state === 'closed') connection.stream.destroy();
    else this.heartbeat.start();
  }

  private onStarted(): void {
    if (this.state !== 'connecting') return;
    this.state = 'streaming';
    if (this.paused) this.connection?.stream.pause();
    this.markStarted();
  }

  private onFrame(frame: Buffer): void {
    if (this.state !== 'streaming') return;
    try {
      const isData = frameKind(frame) === WAL_DATA;
      this.position.advance(frame, POSITION);
      if (isData) this.options.handler.data(walDataPayload(frame));
      else this.onKeepalive(frame);
    } catch (error) {
      this.fail(asDefect(error)); // the handler's own errors have codes
    }
  }

  private onKeepalive(frame: Buffer): void {
    const asksReply = keepaliveAsksReply(frame);
    this.keepaliveLsn = keepaliveEnd(frame);
    this.options.handler.keepalive(this.keepaliveLsn);
    if (asksReply) this.sendStatus('requested');
  }

  private onServerEnded(): void {
    if (this.state === 'finishing') this.answered = true;
    else this.fail(new WalpostError('SERVER_SHUTDOWN', { detail: 'It has ended the stream.' }));
  }

  private sendStatus(occasion: StatusOccasion): void {
    if (this.state !== 'streaming') return;
    const status = statusFor(occasion, this.received, this.confirmed);
    const clockMicros = postgresMicros(this.options.clock.wallTime());
    this.connection?.sendCopyFromChunk(encodeStandbyStatus({ ...status, clockMicros }));
  }

  /** The first failure is the reason; what follows from closing the socket is not. */
  private fail(failure: Error): void {
    if (this.state === 'closed') return;
    if (this.state !== 'finishing') this.failure = failure;
    this.close();
  }

  private close(): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.heartbeat.stop();
    this.finishTimer?.cancel();
    this.connection?.stream.destroy();
    this.socket?.destroy();
    this.markNotStarted(this.failure ?? new Error('the stream was closed before it started'));
  }
}

function silence(limit: number): WalpostError {
  return new WalpostError('CONNECTION_SILENT', { detail: `Nothing arrived for ${(limit / 1000).toFixed(1)} s.` });
}
