/** Connection strings: what is taken, what is refused, and that a password never gets out. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ConnectionSettings,
  ConnectionStringError,
  parseConnectionString,
} from '../../src/eventstore/eventstoredb/connection-string.ts';
import { checkConnectionString, describeConnectionString } from '../../src/eventstore/eventstoredb/index.ts';

const one = { address: 'db', port: 2113 };

describe('is taken', () => {
  const table: readonly (readonly [string, Partial<ConnectionSettings>])[] = [
    ['esdb://db', { hosts: [one], cluster: 'none', tls: true, credentials: undefined }],
    ['  esdb://db\n', { hosts: [one] }],
    ['ESDB://db:1', { hosts: [{ address: 'db', port: 1 }] }],
    ['kurrentdb://db', { cluster: 'none' }],
    ['kurrent://db', { cluster: 'none' }],
    ['kdb://db/', { hosts: [one] }],
    ['esdb://127.0.0.1:65535/?tls=false', { hosts: [{ address: '127.0.0.1', port: 65_535 }], tls: false }],
    ['esdb://[::1]:2114', { hosts: [{ address: '[::1]', port: 2114 }] }],
    ['esdb://[fe80::1]', { hosts: [{ address: '[fe80::1]', port: 2113 }] }],
    [
      'esdb+discover://cluster.example',
      { cluster: 'dns', hosts: [{ address: 'cluster.example', port: 2113 }] },
    ],
    ['kurrentdb+discover://db', { cluster: 'dns' }],
    [
      'esdb://a:1,b:2,c',
      {
        cluster: 'hosts',
        hosts: [
          { address: 'a', port: 1 },
          { address: 'b', port: 2 },
          { address: 'c', port: 2113 },
        ],
      },
    ],
    ['esdb://admin:changeit@db', { credentials: { username: 'admin', password: 'changeit' }, hosts: [one] }],
    ['esdb://a%40b:p%3Aq%2Fr%3F%26@db', { credentials: { username: 'a@b', password: 'p:q/r?&' } }],
    ['esdb://u:a:b@db', { credentials: { username: 'u', password: 'a:b' } }],
    ['esdb://u:@db', { credentials: { username: 'u', password: '' } }],
    ['esdb://db?', { tls: true }],
    ['esdb://db?&tls=false&&', { tls: false }],
    ['esdb://db?TLS=FALSE', { tls: false }],
    ['esdb://db?TLS-CA_file=%2Fetc%2Fca.pem', { tlsCaFile: '/etc/ca.pem' }],
    ['esdb://db?tlsVerifyCert=true&throwOnAppendFailure=true', { tls: true }],
    ['esdb://db?userCertFile=c&userKeyFile=k', { userCertFile: 'c', userKeyFile: 'k' }],
    ['esdb://db?nodePreference=Read-Only-Replica', { nodePreference: 'read_only_replica' }],
    ['esdb://db?nodepreference=FOLLOWER', { nodePreference: 'follower' }],
    ['esdb://db?keepAliveInterval=-1&keepAliveTimeout=1', { keepAliveInterval: -1, keepAliveTimeout: 1 }],
    ['esdb://db?defaultDeadline=300&gossipTimeout=7', { defaultDeadline: 300, gossipTimeout: 7 }],
    [
      'esdb://db?maxDiscoverAttempts=2&discoveryInterval=50',
      { maxDiscoverAttempts: 2, discoveryInterval: 50 },
    ],
    ['esdb://db?connectionName=a%20b', { connectionName: 'a b' }],
    ['esdb://db?connectionName=a=b', { connectionName: 'a=b' }],
  ];
  test.each(table)('%s', (text, expected) => {
    expect(checkConnectionString(text)).toEqual([]);
    expect(parseConnectionString(text)).toMatchObject(expected);
  });

  test('with what is not said left at its default', () => {
    expect(parseConnectionString('esdb://db')).toEqual({
      hosts: [one],
      cluster: 'none',
      tls: true,
      tlsCaFile: undefined,
      userCertFile: undefined,
      userKeyFile: undefined,
      credentials: undefined,
      nodePreference: 'leader',
      maxDiscoverAttempts: 3,
      discoveryInterval: 100,
      gossipTimeout: 3,
      keepAliveInterval: 10_000,
      keepAliveTimeout: 10_000,
      defaultDeadline: 10_000,
      connectionName: 'tallyback',
    });
  });

  test('with a password given beside it; one that stands in it is the one', () => {
    expect(parseConnectionString('esdb://u@db', 'p%41').credentials).toEqual({
      username: 'u',
      password: 'p%41',
    });
    expect(parseConnectionString('esdb://u:own@db', 'other').credentials?.password).toBe('own');
  });
});

describe('is refused', () => {
  const table: readonly (readonly [string, string])[] = [
    ['', 'must be given as esdb://'],
    ['db:2113', 'must be given as esdb://'],
    ['postgres://db', 'must be given as esdb://'],
    ['esdb:/db', 'must be given as esdb://'],
    ['esdb://', 'must be given as esdb://'],
    ['esdb://?tls=false', 'must be given as esdb://'],
    ['esdb://db/name', 'must be given as esdb://'],
    ['esdb://db:0', 'is not of the form HOST'],
    ['esdb://db:65536', 'is not of the form HOST'],
    ['esdb://db:x', 'is not of the form HOST'],
    ['esdb://a,,b', 'is not of the form HOST'],
    ['esdb://::1', 'is not of the form HOST'],
    ['esdb+discover://a,b', 'takes one DNS name'],
    ['esdb://db?tls=maybe', 'tls of the event store is true or false'],
    ['esdb://db?tls', 'tls of the event store is true or false'],
    ['esdb://db?tlsVerifyCert=false', 'no effect in this client'],
    ['esdb://db?throwOnAppendFailure=false', 'answer conflicts wrongly'],
    ['esdb://db?Throw_On-Append_Failure=FALSE', 'answer conflicts wrongly'],
    ['esdb://db?userCertFile=c', 'belong together'],
    ['esdb://db?userKeyFile=k', 'belong together'],
    ['esdb://db?nodePreference=nearest', 'nodePreference is one of leader, follower'],
    ['esdb://db?defaultDeadline=0', 'defaultDeadline of the event store takes a whole number from 1'],
    ['esdb://db?defaultDeadline=1.5', 'takes a whole number from 1, not "1.5"'],
    ['esdb://db?defaultDeadline=', 'takes a whole number from 1'],
    ['esdb://db?defaultDeadline=ten', 'takes a whole number from 1'],
    ['esdb://db?keepAliveInterval=-2', 'takes a whole number from -1'],
    ['esdb://db?maxDiscoverAttempts=0', 'takes a whole number from 1'],
    ['esdb://db?timeout=1', '"timeout" is not a setting'],
    ['esdb://u@db', 'a user name for the event store, but no password'],
    ['esdb://:p@db', 'must be percent-encoded'],
    ['esdb://%zz:p@db', 'must be percent-encoded'],
    ['esdb://u:%zz@db', 'must be percent-encoded'],
    ['esdb://u:p?w@db', '"?" and "@" within names, passwords and settings are %3F and %40'],
    ['esdb://u:p@db?connectionName=a@b', '"?" and "@" within'],
  ];
  test.each(table)('%s', (text, problem) => {
    expect(checkConnectionString(text).join('\n')).toContain(problem);
    expect(() => parseConnectionString(text)).toThrow(ConnectionStringError);
  });

  test('naming everything that is wrong at once', () => {
    const text = 'esdb://u@db:0?tls=x&nodePreference=y&what=z';
    expect(checkConnectionString(text)).toHaveLength(5);
    expect(() => parseConnectionString(text)).toThrow(checkConnectionString(text).join('\n'));
  });

  test('a password without a user name', () => {
    expect(checkConnectionString('esdb://db', 'secret')).toEqual([
      'there is a password for the event store, but no user name',
    ]);
  });
});

describe('for people', () => {
  test.each([
    ['esdb://db', 'EventStoreDB at db:2113 (TLS)'],
    ['esdb://u:hunter2@a:1,b:2?tls=false', 'EventStoreDB at a:1, b:2'],
    ['nonsense with hunter2', 'an event store'],
    ['esdb://u:1234?hunter2@db', 'an event store'],
  ])('%s is %s', (text, described) => {
    expect(describeConnectionString(text)).toBe(described);
  });
});

/** Cannot come about by chance, nor stand in a message of ours. */
const secret = 'Zq9Zq9Zq9';

/** Mostly nearly right: pieces of connection strings in about the right order. */
const piece = fc.oneof(
  fc.constantFrom(
    '',
    '@',
    ':',
    '/',
    '?',
    '&',
    '=',
    ',',
    '%',
    '%41',
    '[::1]',
    '+discover',
    'esdb://',
    '\n',
    ' ',
  ),
  fc.constantFrom(
    'tls=false',
    'tls',
    'defaultDeadline=x',
    'nodePreference=leader',
    'db',
    'db:2113',
    'u',
    'kdb://',
  ),
  fc.string({ maxLength: 8, unit: 'binary' }),
);
const pieces = fc.array(piece, { maxLength: 8 }).map((some) => some.join(''));

const parse = (text: string, password?: string): unknown => {
  try {
    return parseConnectionString(text, password);
  } catch (error) {
    return error;
  }
};

test('nothing but ConnectionStringError is ever thrown, and exactly when there are problems', () => {
  fc.assert(
    fc.property(pieces, fc.option(fc.string(), { nil: undefined }), (text, password) => {
      for (const whole of [text, `esdb://${text}`, `esdb://db?${text}`, `esdb://u:${text}@db`]) {
        const outcome = parse(whole, password);
        const problems = checkConnectionString(whole, password);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(ConnectionStringError);
        expect(outcome instanceof Error).toBe(problems.length > 0);
        expect(() => describeConnectionString(whole)).not.toThrow();
      }
    }),
    { numRuns: 2_000 },
  );
});

test('no problem ever tells the password, wherever in the string it stands and whatever is wrong with the rest', () => {
  const text = fc.oneof(
    fc.tuple(pieces, pieces).map(([a, b]) => `esdb://u:${secret}${a}@db${b}`),
    fc.tuple(pieces, pieces).map(([a, b]) => `esdb://${a}:${secret}@${b}`),
    fc.tuple(pieces, pieces, pieces).map(([a, b, c]) => `esdb://u:${a}${secret}${b}@${c}`),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(undefined, secret), (text, password) => {
      const told = [
        ...checkConnectionString(text, password),
        ...checkConnectionString(`esdb://u@db?x=${text.length}&tls=x`, secret),
        describeConnectionString(text),
      ].join('\n');
      expect(told).not.toContain(secret);
    }),
    { numRuns: 3_000 },
  );
});
