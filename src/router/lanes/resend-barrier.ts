import { LSN_ZERO, type Lsn } from '../../lsn.ts';
import type { ParkedLane } from '../../pipeline.ts';

const NONE: readonly ParkedLane[] = [];

/** Parked lanes whose rows wait until the server has sent again what may stand before them. */
export class ResendBarrier {
  /** By the position that they wait for, the nearest last. */
  private lanes: ParkedLane[] = [];

  /** Takes those of the lanes that have to wait. */
  await(parked: readonly ParkedLane[]): void {
    this.lanes = parked.filter(({ redeliveredUntil }) => redeliveredUntil !== null);
    this.lanes.sort((a, b) => (until(a) < until(b) ? 1 : -1));
  }

  /** The lanes that may be read, once everything committed before this position has been accepted; each once. */
  passed(lsn: Lsn): readonly ParkedLane[] {
    const { lanes } = this;
    let left = lanes.length;
    for (let next = lanes[left - 1]; next && until(next) < lsn; next = lanes[left - 1]) left -= 1;
    return left === lanes.length ? NONE : lanes.splice(left);
  }
}

function until({ redeliveredUntil }: ParkedLane): Lsn {
  return redeliveredUntil ?? LSN_ZERO;
}
