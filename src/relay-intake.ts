/**
 * The door between the slot and the decoder: whether more may come in, and that it comes in order.
 *
 * Reading stops while the router is full, and for good when the relay ends. It also stops at a message that names a key of
 * walpost.emit which was made after the keys were last read: that message, and all that had arrived behind it, is held until
 * they have been read again. Between two readings there is a rest, so that somebody who writes messages with keys that do
 * not exist, which any role can, gets ten queries a second out of it and a tenth of a second of delay, not more.
 */
import { pause, type Clock } from './clock.ts';
import { KeysOutdated } from './decoder/signed-messages.ts';
import { messageOf, WalpostError } from './errors.ts';
import type { Lsn } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import type { FrameHandler } from './pipeline.ts';
import type { EmitKeys } from './postgres/emit-keys.ts';

export interface RelayIntakeOptions {
  /** Takes the frames that come in. */
  readonly handler: FrameHandler;
  /** Stops and resumes the reading. */
  readonly brake: (on: boolean) => void;
  readonly keys: Pick<EmitKeys, 'read'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn'>;
  readonly fail: (error: unknown) => void;
}

const REST_MS = 100;
const RETRY_MS = 1_000;

export class RelayIntake implements FrameHandler {
  private readonly options: RelayIntakeOptions;
  private readonly closing = new AbortController();
  private held: (() => void)[] = [];
  private nextReading = 0;
  private full = false;
  private stopped = false;

  constructor(options: RelayIntakeOptions) {
    this.options = options;
  }

  data(payload: Buffer): void {
    const { handler } = this.options;
    if (this.held.length === 0) {
      try {
        return handler.data(payload);
      } catch (error) {
        if (!(error instanceof KeysOutdated)) throw error;
      }
    }
    const copy = Buffer.from(payload);
    this.hold(() => handler.data(copy));
  }

  keepalive(serverEnd: Lsn): void {
    const { handler } = this.options;
    if (this.held.length === 0) handler.keepalive(serverEnd);
    else this.hold(() => handler.keepalive(serverEnd));
  }

  /** The router can take no more for now, or can again. */
  press(full: boolean): void {
    this.full = full;
    this.brake();
  }

  /** For good. What is held stays outside: nothing behind it may come in without it. */
  stop(): void {
    this.stopped = true;
    this.closing.abort();
    this.brake();
  }

  private brake(): void {
    this.options.brake(this.full || this.stopped || this.held.length > 0);
  }

  private hold(frame: () => void): void {
    this.held.push(frame);
    if (this.held.length > 1 || this.closing.signal.aborted) return;
    this.brake();
    void this.release();
  }

  private async release(): Promise<void> {
    while (await this.readKeys()) {
      if (this.letIn()) return this.brake();
    }
  }

  /** False when a frame needs newer keys still, or failed. */
  private letIn(): boolean {
    try {
      for (let frame = this.held[0]; frame; frame = this.held[0]) {
        frame();
        this.held.shift();
      }
      return true;
    } catch (error) {
      if (error instanceof KeysOutdated) return false;
      this.closing.abort();
      this.options.fail(error);
      return false;
    }
  }

  /** Resolves when they are read, after as many tries as it takes; false when the intake was stopped meanwhile. */
  private async readKeys(): Promise<boolean> {
    const { clock, keys, log, fail } = this.options;
    const { signal } = this.closing;
    for (let wait = this.nextReading - clock.now(); !signal.aborted; wait = RETRY_MS) {
      await pause(clock, Math.max(0, wait), signal);
      if (signal.aborted) break;
      try {
        await keys.read();
        this.nextReading = clock.now() + REST_MS;
        return !signal.aborted;
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof WalpostError && error.policy !== 'retry') fail(error);
        else log.warn(`the keys of walpost.emit cannot be read, the stream waits: ${messageOf(error)}`);
      }
    }
    return false;
  }
}
