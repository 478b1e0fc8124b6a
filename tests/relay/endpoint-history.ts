/**
 * What one session commits, in its order: events and changes of endpoints. It keeps what each endpoint has to get, by the
 * definition alone.
 */
import type { Customers } from './endpoint-scene.ts';

export const ORGANIZATIONS = ['01a1f9c1-5e61-768b-8ff0-dabec930edd1', '01a1f9c1-5e61-768b-8ff0-dabec930edd2'];
/** The changes whose effect has to be exact; others come along: enabling, and removing when there are many. */
const KINDS = ['add', 'change', 'rotate', 'pause', 'disable'] as const;
const FEWEST = 3;
const MOST = 10;
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
    if (this.random() < 0.6) return this.publish();
    const kind = KINDS[Math.floor(this.random() * KINDS.length)];
    const [endpoint, expected] = this.any() ?? [];
    if (!endpoint || !expected || this.size < FEWEST) return this.add();
    if (kind === 'add') return this.size < MOST ? this.add() : this.endOf(endpoint, expected, 'removed');
    if (kind === 'change') return this.update(endpoint, expected);
    if (kind === 'rotate') return this.rotate(endpoint);
    if (expected.state !== 'enabled') return this.enable(endpoint, expected);
    if (kind === 'pause') return this.pause(endpoint, expected);
    await this.endOf(endpoint, expected, 'disabled');
  }

  /** Each kind of change was made so often. */
  hasMade(count: number): boolean {
    return KINDS.every((kind) => (this.made[kind] ?? 0) >= count);
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

  /** Its URL, or its types. */
  private async update(endpoint: string, expected: Expected): Promise<void> {
    if (this.random() < 0.5) await this.customers.move(endpoint);
    else {
      expected.types = this.random() < 0.5 ? ['*'] : ['job.done'];
      await this.customers.call('update_endpoint($1, NULL, $2)', [endpoint, expected.types]);
    }
    this.count('change');
  }

  private async rotate(endpoint: string): Promise<void> {
    await this.customers.rotate(endpoint);
    this.count('rotate');
  }

  private async pause(endpoint: string, expected: Expected): Promise<void> {
    await this.customers.call('pause_endpoint($1)', [endpoint]);
    expected.state = 'paused';
    expected.hadRows = true;
    this.count('pause');
  }

  /** What is parked would be discarded: it is to have come before. */
  private async endOf(endpoint: string, expected: Expected, state: 'disabled' | 'removed'): Promise<void> {
    if (expected.state === 'paused') await this.enable(endpoint, expected);
    if (expected.hadRows) await this.customers.receiver.has(endpoint, expected.numbers);
    expected.hadRows = false;
    await this.customers.call(`${state === 'removed' ? 'remove' : 'disable'}_endpoint($1)`, [endpoint]);
    expected.state = state;
    this.count(state === 'removed' ? 'remove' : 'disable');
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
