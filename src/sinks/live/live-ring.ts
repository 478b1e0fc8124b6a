/** The last events of one organization, as they were sent. */

/** One event, written once for all readers. */
export interface LiveEntry {
  readonly number: number;
  readonly topic: string;
  readonly eventType: string;
  /** The message, as it goes to each reader. */
  readonly frame: Buffer;
}

/** What an entry costs beyond its bytes. */
const OVERHEAD = 256;

export class LiveRing {
  /** Every event of the organization with a higher number is in the ring. */
  floor: number;
  bytes = 0;
  private entries: LiveEntry[] = [];
  private head = 0;

  constructor(floor: number) {
    this.floor = floor;
  }

  get length(): number {
    return this.entries.length - this.head;
  }

  push(entry: LiveEntry): void {
    this.entries.push(entry);
    this.bytes += costOf(entry);
  }

  /** Forgets the oldest one. */
  shift(): void {
    const entry = this.entries[this.head];
    if (!entry) return;
    this.head += 1;
    this.bytes -= costOf(entry);
    this.floor = entry.number;
    if (this.head * 2 < this.entries.length) return;
    this.entries = this.entries.slice(this.head);
    this.head = 0;
  }

  /** The entries behind that number, up to about so many bytes; null when some of them are gone. */
  after(number: number, maxBytes: number): readonly LiveEntry[] | null {
    if (number < this.floor) return null;
    let [low, high] = [this.head, this.entries.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle]?.number ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    const found: LiveEntry[] = [];
    for (let bytes = 0; low < this.entries.length && bytes < maxBytes; low += 1) {
      const entry = this.entries[low] as LiveEntry;
      found.push(entry);
      bytes += entry.frame.length;
    }
    return found;
  }
}

function costOf(entry: LiveEntry): number {
  return entry.frame.length + OVERHEAD;
}
