/** What a container prints, line by line, from its start to its end. */
import { createInterface } from 'node:readline';
import type { StartedTestContainer } from 'testcontainers';

export class LogLines {
  readonly lines: string[] = [];
  private waiting: (() => void)[] = [];

  static async of(container: StartedTestContainer): Promise<LogLines> {
    const log = new LogLines();
    createInterface({ input: await container.logs() }).on('line', (line) => log.add(line));
    return log;
  }

  /** Resolves when that is so, and looks at each line; rejects with the last lines when it takes longer. */
  async until(what: string, reached: () => boolean, timeout = 90_000): Promise<void> {
    const deadline = performance.now() + timeout;
    while (!reached()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`not in ${timeout} ms: ${what}\n${this.lines.slice(-5).join('\n')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  private add(line: string): void {
    this.lines.push(line);
    for (const wake of this.waiting.splice(0)) wake();
  }
}

/** The events that deploy/receiver.mjs has received, each in the place of its first arrival. */
export class Arrivals {
  private readonly log: LogLines;

  constructor(log: LogLines) {
    this.log = log;
  }

  get count(): number {
    return this.log.lines.length - 1; // the first one says where it listens
  }

  reach(count: number, timeout?: number): Promise<void> {
    return this.log.until(`${count} events arrived`, () => this.count >= count, timeout);
  }

  /** Event ids by organization. */
  byOrganization(): Map<string, string[]> {
    const all = new Map<string, string[]>();
    for (const line of this.log.lines) {
      const { received, organization } = JSON.parse(line) as { received?: string; organization?: string };
      if (received === undefined || organization === undefined) continue;
      const events = all.get(organization) ?? [];
      events.push(received);
      all.set(organization, events);
    }
    return all;
  }
}
