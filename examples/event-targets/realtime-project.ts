/**
 * A project of Supabase, as far as broadcasts go: the stand-in that walpost itself is tested with. Each organization has a
 * subscriber, with the library of Supabase and a token that may read its own channel only.
 */
import { randomBytes } from 'node:crypto';
import type { Permissions } from '../../tests/support/realtime-fake-socket.ts';
import { RealtimeFake } from '../../tests/support/realtime-fake.ts';
import { RealtimeSubscriber } from '../../tests/support/realtime-subscriber.ts';

export interface Broadcast {
  /** Whose subscriber has got it. */
  readonly organizationId: string;
  readonly eventId: string;
  readonly eventType: string;
  /** As the event says it. */
  readonly belongsTo: string;
  readonly lagMs: number;
}

interface Payload {
  readonly event_id: string;
  readonly event_type: string;
  readonly organization_id: string;
  readonly created_at: string;
}

const SERVICE: Permissions = { read: () => true, write: () => true };
const channelOf = (organizationId: string): string => `notifications:org_${organizationId}`;
const newKey = (): string => randomBytes(16).toString('hex');

export class RealtimeProject implements AsyncDisposable {
  /** What subscribers have seen, in order. */
  readonly broadcasts: Broadcast[] = [];
  private readonly fake: RealtimeFake;
  private readonly keys: Record<string, Permissions>;
  private readonly tokens = new Map<string, string>();
  private readonly subscribers: RealtimeSubscriber[] = [];

  private constructor(fake: RealtimeFake, keys: Record<string, Permissions>) {
    this.fake = fake;
    this.keys = keys;
  }

  static async start(
    organizations: readonly string[],
    take: (broadcast: Broadcast) => void = () => undefined,
  ): Promise<RealtimeProject> {
    const keys: Record<string, Permissions> = {};
    const project = new RealtimeProject(await RealtimeFake.start({ keys }), keys);
    for (const organizationId of organizations) {
      const token = newKey();
      keys[token] = { read: (channel) => channel === channelOf(organizationId), write: () => false };
      project.tokens.set(organizationId, token);
      const subscriber = await project.join(organizationId, organizationId);
      void project.watch(subscriber, organizationId, take);
    }
    return project;
  }

  get url(): string {
    return this.fake.url;
  }

  /** A further service role key; those before it stay valid. */
  addKey(): string {
    const key = newKey();
    this.keys[key] = SERVICE;
    return key;
  }

  revokeKey(key: string): void {
    delete this.keys[key];
  }

  /** Subscribes to the channel of one organization with the token of another, or of the same. */
  async join(organizationId: string, withTokenOf: string): Promise<RealtimeSubscriber> {
    const key = this.tokens.get(withTokenOf) ?? '';
    const subscriber = await RealtimeSubscriber.join(this.fake, { key, channel: channelOf(organizationId) });
    this.subscribers.push(subscriber);
    return subscriber;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const subscriber of this.subscribers) await subscriber[Symbol.asyncDispose]();
    await this.fake[Symbol.asyncDispose]();
  }

  private async watch(
    subscriber: RealtimeSubscriber,
    organizationId: string,
    take: (broadcast: Broadcast) => void,
  ): Promise<never> {
    for (let n = 0; ; n += 1) {
      const { payload } = (await subscriber.received(n + 1))[n] as { payload: Payload };
      const broadcast = {
        organizationId,
        eventId: payload.event_id,
        eventType: payload.event_type,
        belongsTo: payload.organization_id,
        lagMs: Date.now() - Date.parse(payload.created_at),
      };
      this.broadcasts.push(broadcast);
      take(broadcast);
    }
  }
}
