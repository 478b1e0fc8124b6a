/** Where the events come from: the live channel, or Supabase Realtime where the application says so. */
import { RealtimeClient } from '@supabase/realtime-js';
import { createSubscriber, liveSource, realtimeSource, type Subscriber } from '@walpost/consumer/subscribe';

/** What schema.sql captures. */
export interface AppEvents {
  'job.created': { readonly status: string };
  'job.updated': { readonly status: string };
}

interface Channel {
  readonly organizationId: string;
  readonly url: string;
  readonly supabase?: { readonly url: string; readonly key: string };
}

export interface Notifications {
  readonly organizationId: string;
  readonly subscriber: Subscriber<AppEvents>;
}

export async function openNotifications(query: string): Promise<Notifications> {
  const { organizationId, url, supabase } = await getJson<Channel>(`/channel${query}`);
  const token = async (): Promise<string> => (await getJson<{ token: string }>(`/token${query}`)).token;
  const source =
    supabase === undefined
      ? liveSource({ url, token })
      : realtimeSource({ client: new RealtimeClient(supabase.url, { params: { apikey: supabase.key } }), token });
  return { organizationId, subscriber: createSubscriber<AppEvents>({ source, remember: 20_000 }) };
}

export async function getJson<T>(url: string): Promise<T> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return (await answer.json()) as T;
}
