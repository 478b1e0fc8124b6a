import type { Queue } from 'bullmq';

/** Each holds listeners on the connection. */
const MOST = 200;

/** The queues in use; the one that was used longest ago goes first. They share one connection, which is not theirs. */
export class Queues {
  private readonly make: (name: string) => Queue;
  private readonly open = new Map<string, Queue>();

  constructor(make: (name: string) => Queue) {
    this.make = make;
  }

  get(name: string): Queue {
    const queue = this.open.get(name) ?? this.make(name);
    this.open.delete(name);
    this.open.set(name, queue);
    return queue;
  }

  /** Lets go of those beyond the most, once the work that may use them has ended. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = await work();
    for (const [name, queue] of this.open) {
      if (this.open.size <= MOST) break;
      this.open.delete(name);
      await queue.close();
    }
    return result;
  }

  async close(): Promise<void> {
    await Promise.all([...this.open.values()].map((queue) => queue.close()));
    this.open.clear();
  }
}
