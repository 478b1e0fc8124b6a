import type { Clock, Timer } from '../../clock.ts';

interface Alarm<T> {
  readonly at: number;
  readonly item: T;
}

/** More that are due at once go on in the next turn of the event loop: a hundred thousand lanes may wait for one destination. */
const MOST_IN_A_TURN = 1_000;

/** Things that wait for different moments, woken by one timer: a binary heap by moment. */
export class TimerHeap<T> {
  private readonly clock: Clock;
  private readonly onDue: (item: T) => void;
  private readonly heap: Alarm<T>[] = [];
  private timer: Timer | undefined;
  private timerAt = Infinity;

  constructor(clock: Clock, onDue: (item: T) => void) {
    this.clock = clock;
    this.onDue = onDue;
  }

  get waiting(): number {
    return this.heap.length;
  }

  /** Rings once, `delay` milliseconds from now. */
  set(item: T, delay: number): void {
    const { heap } = this;
    const alarm = { at: this.clock.now() + delay, item };
    let place = heap.length;
    heap.push(alarm);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = heap[parent] as Alarm<T>;
      if (above.at <= alarm.at) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = alarm;
    this.arm();
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.heap.length = 0;
  }

  private arm(): void {
    const first = this.heap[0];
    if (!first || (this.timer && this.timerAt <= first.at)) return;
    this.timer?.cancel();
    this.timerAt = first.at;
    this.timer = this.clock.schedule(Math.max(0, first.at - this.clock.now()), this.ring);
  }

  private readonly ring = (): void => {
    this.timer = undefined;
    const now = this.clock.now();
    for (let rung = 0; rung < MOST_IN_A_TURN; rung++) {
      const first = this.heap[0];
      if (!first || first.at > now) break;
      this.removeFirst();
      this.onDue(first.item);
    }
    this.arm();
  };

  private removeFirst(): void {
    const { heap } = this;
    const last = heap.pop() as Alarm<T>;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Alarm<T>).at < (heap[child] as Alarm<T>).at) child += 1;
      if ((heap[child] as Alarm<T>).at >= last.at) break;
      heap[place] = heap[child] as Alarm<T>;
      place = child;
    }
    heap[place] = last;
  }
}
