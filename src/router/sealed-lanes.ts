import { LSN_ZERO, type Lsn, maxLsn } from '../lsn.ts';
import type { ParkedLane } from '../pipeline.ts';

const NONE: readonly ParkedLane[] = [];

/** Parked lanes whose rows wait until the server has sent again what may stand before them. */
export class SealedLanes {
  private lanes: readonly ParkedLane[] = NONE;
  private until: Lsn = LSN_ZERO;

  /** Takes those of the lanes that have to wait. */
  seal(parked: readonly ParkedLane[]): void {
    this.lanes = parked.filter(({ resentUntil }) => resentUntil !== null);
    this.until = this.lanes.reduce((last, { resentUntil }) => maxLsn(last, resentUntil ?? LSN_ZERO), LSN_ZERO);
  }

  /** The lanes that may be read, once everything committed before this position has been accepted; each once. */
  passed(lsn: Lsn): readonly ParkedLane[] {
    const { lanes } = this;
    if (lanes.length === 0 || lsn <= this.until) return NONE;
    this.lanes = NONE;
    return lanes;
  }
}
