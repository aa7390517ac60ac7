import { describe, expect, test } from 'vitest';
import { ConfigurationError, serverConfiguration } from '../../src/operations/configuration.ts';

const fine = (): readonly string[] => [];
const settings = (env: Readonly<Record<string, string>>, flags = {}, check = fine) =>
  serverConfiguration(flags, env, check);

describe('the event store', () => {
  test('is in Postgres unless one is named, and the flag wins', () => {
    expect(settings({}).eventStore).toBeUndefined();
    expect(settings({ TALLYBACK_EVENT_STORE: '' }).eventStore).toBeUndefined();
    const env = { TALLYBACK_EVENT_STORE: 'esdb+discover://cluster.example' };
    const fromEnv = { connectionString: 'esdb+discover://cluster.example', namespace: 'tallyback' };
    expect(settings(env).eventStore).toEqual({ ...fromEnv, password: undefined });
    const flagged = settings(
      {
        ...env,
        TALLYBACK_EVENT_STORE_NAMESPACE: 'shop_1_live',
        TALLYBACK_EVENT_STORE_PASSWORD: 'secret',
      },
      { 'event-store': 'kurrentdb://admin@a:1,b:2' },
    );
    expect(flagged.eventStore).toEqual({
      connectionString: 'kurrentdb://admin@a:1,b:2',
      namespace: 'shop_1_live',
      password: 'secret',
    });
  });

  test('is checked by its adapter, together with everything else, and no secret is said', () => {
    const problemsOf = (env: Readonly<Record<string, string>>, check = fine): string => {
      try {
        settings(env, {}, check);
      } catch (error) {
        if (error instanceof ConfigurationError) return error.message;
        throw error;
      }
      return '';
    };
    const said = problemsOf(
      {
        TALLYBACK_EVENT_STORE: 'esdb://u:hunter2@host',
        TALLYBACK_EVENT_STORE_NAMESPACE: 'tally-back',
        TALLYBACK_EVENT_STORE_PASSWORD: 'hunter3',
        TALLYBACK_LISTEN: 'nowhere',
        TALLYBACK_EVENTSTORE: '1',
      },
      () => ['the adapter does not like it'],
    );
    expect(said.split('\n')).toHaveLength(4);
    expect(said).toContain('the adapter does not like it');
    expect(said).toContain('TALLYBACK_EVENT_STORE_NAMESPACE');
    expect(said).toContain('TALLYBACK_EVENTSTORE is not a setting');
    expect(said).not.toMatch(/hunter/);
    expect(problemsOf({ TALLYBACK_EVENT_STORE: 'postgres://u:hunter2@host/db' })).toMatch(/DATABASE_URL/);
    expect(problemsOf({ TALLYBACK_EVENT_STORE: 'postgres://u:hunter2@host/db' })).not.toMatch(/hunter/);
  });
});

test('folding takes as many threads as are asked for, and none by default', () => {
  expect(settings({}).foldThreads).toBe(0);
  expect(settings({ TALLYBACK_FOLD_THREADS: '3' }).foldThreads).toBe(3);
  expect(() => settings({ TALLYBACK_FOLD_THREADS: '-1' })).toThrow(/TALLYBACK_FOLD_THREADS/);
  expect(() => settings({ TALLYBACK_FOLD_THREADS: 'all' })).toThrow(ConfigurationError);
});

test('browsers may watch nowhere unless it is said where, and one origin beside', () => {
  expect(settings({}).sse).toBeUndefined();
  expect(settings({ TALLYBACK_SSE_LISTEN: '127.0.0.1:7421' }).sse).toEqual({
    listen: '127.0.0.1:7421',
    origin: undefined,
  });
  const env = { TALLYBACK_SSE_LISTEN: '127.0.0.1:1', TALLYBACK_SSE_ORIGIN: 'https://a.example' };
  expect(settings(env, { sse: '[::1]:2', 'sse-origin': 'http://localhost:3000' }).sse).toEqual({
    listen: '[::1]:2',
    origin: 'http://localhost:3000',
  });
  for (const origin of [
    '*',
    'null',
    'a.example',
    'https://a.example/',
    'https://A.example',
    'file:///a',
    'https://a b',
  ])
    expect(() => settings({ ...env, TALLYBACK_SSE_ORIGIN: origin }), origin).toThrow(/origin of pages/);
  expect(() => settings({ TALLYBACK_SSE_LISTEN: '7421' })).toThrow(/for browsers to watch must be HOST:PORT/);
  expect(() => settings({ ...env, TALLYBACK_ROLES: 'projector' })).toThrow(/role api/);
});
