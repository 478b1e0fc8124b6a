/**
 * What one session commits, in its order: events and changes of endpoints. It keeps what each endpoint has to get, by the
 * definition alone.
 */
import type { Customers } from './endpoint-scene.ts';

export const ORGANIZATIONS = ['01a1f9c1-5e61-768b-8ff0-dabec930edd1', '01a1f9c1-5e61-768b-8ff0-dabec930edd2'];
const TYPES = ['job.done', 'job.failed'];

interface Expected {
  readonly organization: string;
  state: 'enabled' | 'paused' | 'disabled' | 'removed';
  types: readonly string[];
  readonly numbers: number[];
  /** Committed while it was paused. */
  kept: number[];
  /** It was paused: until all that was kept has come, disabling discards the rest of it. */
  hadRows: boolean;
}

/** Numbers from 0 to 1, always the same for a seed. */
export function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export class EndpointHistory {
  /** How often each change was made. */
  readonly made: Record<string, number> = {};
  private readonly customers: Customers;
  private readonly random: () => number;
  private readonly endpoints = new Map<string, Expected>();

  constructor(customers: Customers, random: () => number) {
    this.customers = customers;
    this.random = random;
  }

  /** One commit. */
  async step(): Promise<void> {
    if (this.random() < 0.65) return this.publish();
    const [endpoint, expected] = this.any() ?? [];
    if (!endpoint || !expected || this.size < 3) return this.add();
    await this.change(endpoint, expected);
  }

  /** All that are there are enabled, and get one event more: what comes before it has come. Resolves with the last event of each. */
  async end(): Promise<Map<string, number>> {
    const last = new Map<string, number>();
    for (const [endpoint, expected] of this.there()) {
      if (expected.state !== 'enabled') await this.enable(endpoint, expected);
      await this.customers.call('update_endpoint($1, NULL, $2)', [endpoint, ['*']]);
      expected.types = ['*'];
    }
    for (const organization of ORGANIZATIONS) {
      const n = await this.commit(organization, 'job.done');
      for (const [endpoint, expected] of this.there())
        if (expected.organization === organization) last.set(endpoint, n);
    }
    for (const [endpoint, { state, numbers }] of this.endpoints) {
      const n = numbers.at(-1);
      if (state === 'removed' && n !== undefined) last.set(endpoint, n);
    }
    return last;
  }

  /** What is wrong: an endpoint whose first arrivals are not its events, in order. */
  get disorder(): string[] {
    const firsts = this.customers.receiver.firsts();
    return [...this.endpoints].flatMap(([endpoint, { numbers, state }]) => {
      const came = firsts.get(endpoint) ?? [];
      return came.join() === numbers.join() ? [] : [`${endpoint} (${state}): ${came.join()} and not ${numbers.join()}`];
    });
  }

  private get size(): number {
    return [...this.there()].length;
  }

  private there(): [string, Expected][] {
    return [...this.endpoints].filter(([, { state }]) => state !== 'removed');
  }

  private any(): [string, Expected] | undefined {
    const all = this.there();
    return all[Math.floor(this.random() * all.length)];
  }

  private async add(): Promise<void> {
    const organization = this.random() < 0.7 ? ORGANIZATIONS[0] : ORGANIZATIONS[1];
    const endpoint = await this.customers.add(organization ?? '');
    this.count('add');
    this.endpoints.set(endpoint, {
      organization: organization ?? '',
      state: 'enabled',
      types: ['*'],
      numbers: [],
      kept: [],
      hadRows: false,
    });
  }

  private async publish(): Promise<void> {
    const organization = this.random() < 0.7 ? ORGANIZATIONS[0] : ORGANIZATIONS[1];
    const type = TYPES[this.random() < 0.5 ? 0 : 1] ?? '';
    await this.commit(organization ?? '', type);
  }

  /** It may arrive before the session knows that it has committed. */
  private async commit(organization: string, type: string): Promise<number> {
    const n = this.customers.next;
    for (const [endpoint, { state, types, numbers, kept, ...expected }] of this.endpoints) {
      if (expected.organization !== organization || !types.some((each) => each === '*' || each === type)) continue;
      if (state === 'enabled') numbers.push(n);
      else if (state === 'paused') kept.push(n);
      else continue;
      this.customers.receiver.expects(endpoint, n);
    }
    await this.customers.publish(organization, type);
    return n;
  }

  private async change(endpoint: string, expected: Expected): Promise<void> {
    const { customers } = this;
    const dice = this.random();
    if (dice < 0.15) await customers.move(endpoint);
    else if (dice < 0.3) await customers.rotate(endpoint);
    else if (dice < 0.45) {
      expected.types = this.random() < 0.5 ? ['*'] : ['job.done'];
      await customers.call('update_endpoint($1, NULL, $2)', [endpoint, expected.types]);
    } else if (expected.state !== 'enabled') return this.enable(endpoint, expected);
    else if (dice < 0.75) {
      await customers.call('pause_endpoint($1)', [endpoint]);
      expected.state = 'paused';
      expected.hadRows = true;
    } else await this.endOf(endpoint, expected, dice);
    this.count(dice < 0.15 ? 'move' : dice < 0.3 ? 'rotate' : dice < 0.45 ? 'update' : expected.state);
  }

  private async endOf(endpoint: string, expected: Expected, dice: number): Promise<void> {
    if (expected.hadRows) await this.customers.receiver.has(endpoint, expected.numbers);
    expected.hadRows = false;
    const removes = dice > 0.92;
    await this.customers.call(`${removes ? 'remove' : 'disable'}_endpoint($1)`, [endpoint]);
    expected.state = removes ? 'removed' : 'disabled';
  }

  private async enable(endpoint: string, expected: Expected): Promise<void> {
    await this.customers.call('enable_endpoint($1)', [endpoint]);
    expected.numbers.push(...expected.kept.splice(0));
    expected.state = 'enabled';
    this.count('enable');
  }

  private count(what: string): void {
    this.made[what] = (this.made[what] ?? 0) + 1;
  }
}
