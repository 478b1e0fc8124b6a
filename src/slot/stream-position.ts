import { LSN_ZERO, formatLsn } from '../lsn.ts';
import type { Lsn } from '../lsn.ts';

/**
 * How far one connection has received and confirmed.
 *
 * The two bounds of a confirmation live here: it never goes back, and never beyond what this connection has received.
 * Whatever would break them is a defect of the caller and throws, before the server hears of it.
 */
export class StreamPosition {
  // Two halves, because comparing numbers costs less than making a bigint for each message.
  private high = 0;
  private low = 0;
  private confirmedLsn: Lsn = LSN_ZERO;

  get received(): Lsn {
    return (BigInt(this.high) << 32n) | BigInt(this.low);
  }

  get confirmed(): Lsn {
    return this.confirmedLsn;
  }

  /** Takes in the LSN that stands at this offset of a frame; positions inside a transaction may lie further back. */
  advance(frame: Buffer, offset: number): void {
    const high = frame.readUInt32BE(offset);
    const low = frame.readUInt32BE(offset + 4);
    if (high < this.high || (high === this.high && low <= this.low)) return;
    this.high = high;
    this.low = low;
  }

  /** True when the confirmed position moved. */
  confirm(lsn: Lsn): boolean {
    const { received, confirmedLsn } = this;
    if (lsn < confirmedLsn) {
      throw new RangeError(`confirming ${formatLsn(lsn)} would go back from ${formatLsn(confirmedLsn)}`);
    }
    if (lsn > received) {
      throw new RangeError(`confirming ${formatLsn(lsn)} would go beyond ${formatLsn(received)}, the last received`);
    }
    this.confirmedLsn = lsn;
    return lsn !== confirmedLsn;
  }
}
