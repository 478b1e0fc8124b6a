/**
 * The gate between the slot and the decoder. It decides whether frames are read, and keeps their order.
 *
 * Reading stops while the router is full, and for good when the relay ends. It also stops at a message that names a key of
 * walpost.emit which was created after the keys were last read. That message, and every frame behind it, is held until the
 * keys have been read again. Any role can write messages with keys that do not exist, so two reads are at least 100 ms apart:
 * such messages cause ten queries a second and a delay of a tenth of a second at most.
 */
import { pause, type Clock } from '../clock.ts';
import { KeysOutdated } from '../emit-key.ts';
import { messageOf, WalpostError } from '../errors.ts';
import type { Lsn } from '../lsn.ts';
import type { Logger } from '../observe/log.ts';
import type { FrameHandler } from '../pipeline.ts';
import type { EmitKeys } from './emit-keys.ts';

export interface FrameGateOptions {
  /** Takes the frames that come in. */
  readonly handler: FrameHandler;
  /** Pauses the socket, or resumes it. */
  readonly setPaused: (paused: boolean) => void;
  readonly keys: Pick<EmitKeys, 'read'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn'>;
  readonly fail: (error: unknown) => void;
}

const BETWEEN_READS_MS = 100;
const RETRY_MS = 1_000;

export class FrameGate implements FrameHandler {
  private readonly options: FrameGateOptions;
  private readonly closing = new AbortController();
  private held: (() => void)[] = [];
  private nextRead = 0;
  private full = false;
  private stopped = false;

  constructor(options: FrameGateOptions) {
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
    this.buffer(() => handler.data(copy));
  }

  keepalive(serverEnd: Lsn): void {
    const { handler } = this.options;
    if (this.held.length === 0) handler.keepalive(serverEnd);
    else this.buffer(() => handler.keepalive(serverEnd));
  }

  /** Whether the router is full. */
  setBackpressure(full: boolean): void {
    this.full = full;
    this.updateFlow();
  }

  /** Stops for good. Held frames are dropped: nothing behind them may be decoded without them. */
  stop(): void {
    this.stopped = true;
    this.closing.abort();
    this.updateFlow();
  }

  private updateFlow(): void {
    this.options.setPaused(this.full || this.stopped || this.held.length > 0);
  }

  private buffer(frame: () => void): void {
    this.held.push(frame);
    if (this.held.length > 1 || this.closing.signal.aborted) return;
    this.updateFlow();
    void this.release();
  }

  private async release(): Promise<void> {
    while (await this.readKeys()) {
      if (this.replayHeldFrames()) return this.updateFlow();
    }
  }

  /** False when a frame needs still newer keys, or failed. */
  private replayHeldFrames(): boolean {
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

  /** Reads the keys, as often as it takes; false when the gate was stopped meanwhile. */
  private async readKeys(): Promise<boolean> {
    const { clock, keys, log, fail } = this.options;
    const { signal } = this.closing;
    for (let wait = this.nextRead - clock.now(); !signal.aborted; wait = RETRY_MS) {
      await pause(clock, Math.max(0, wait), signal);
      if (signal.aborted) break;
      try {
        await keys.read();
        this.nextRead = clock.now() + BETWEEN_READS_MS;
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
