import { REALTIME_SUBSCRIBE_STATES, RealtimeClient, type WebSocketLikeConstructor } from '@supabase/realtime-js';
import { WebSocket } from 'ws';
import type { RealtimeFake } from './realtime-fake.ts';

export interface ReceivedBroadcast {
  readonly event: string;
  readonly payload: unknown;
}

/** One subscriber with the client library that applications use, on one channel. */
export class RealtimeSubscriber implements AsyncDisposable {
  readonly messages: ReceivedBroadcast[] = [];
  readonly #client: RealtimeClient;
  readonly #waiting = new Set<() => void>();

  private constructor(client: RealtimeClient) {
    this.#client = client;
  }

  /** Resolves when the server has let it in; rejects with what the server said. */
  static async join(
    fake: RealtimeFake,
    options: { key: string; channel: string; isPrivate?: boolean },
  ): Promise<RealtimeSubscriber> {
    // The library's type asks for more than it uses.
    const transport = WebSocket as unknown as WebSocketLikeConstructor;
    const client = new RealtimeClient(fake.socketUrl, { params: { apikey: options.key }, transport });
    await client.setAuth(options.key);
    const subscriber = new RealtimeSubscriber(client);
    const channel = client.channel(options.channel, { config: { private: options.isPrivate ?? true } });
    channel.on('broadcast', { event: '*' }, ({ event, payload }) => subscriber.#take({ event, payload }));
    try {
      await new Promise<void>((resolve, reject) => {
        channel.subscribe((status, error) => {
          if (status === REALTIME_SUBSCRIBE_STATES.SUBSCRIBED) resolve();
          else reject(error ?? new Error(status));
        });
      });
    } catch (error) {
      await subscriber[Symbol.asyncDispose]();
      throw error;
    }
    return subscriber;
  }

  /** Resolves when that many messages have arrived in all. */
  async received(count: number): Promise<readonly ReceivedBroadcast[]> {
    while (this.messages.length < count) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    return this.messages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.removeAllChannels();
    await this.#client.disconnect();
  }

  #take(message: ReceivedBroadcast): void {
    this.messages.push(message);
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
