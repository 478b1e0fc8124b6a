// Publishes as an edge function does: in Deno, with supabase-js, with the token of a user. tests/edge/supabase.test.ts copies
// it beside the compiled package and starts it.
import { createClient } from '@supabase/supabase-js';
import { createSupabasePublisher } from './dist/client/src/supabase.js';

const [url, key, organizationId] = Deno.args;
const publisher = createSupabasePublisher(createClient(url, key, { auth: { persistSession: false } }));
const payload = { big: 2n ** 80n, a: [1, -2.5] };
console.log(await publisher.publish({ organizationId, eventType: 'from.deno', payload }));
