import { Redis } from 'ioredis';

/** The Redis of the example. */
export const redisUrl = (): string => `redis://127.0.0.1:${process.env['REDIS_PORT']}`;

/** @param retries how often a command is tried while Redis is away; null: until it is back */
export function connectRedis(retries: number | null): Redis {
  const redis = new Redis(redisUrl(), { maxRetriesPerRequest: retries });
  redis.on('error', () => undefined); // it connects again by itself
  return redis;
}
