#!/usr/bin/env -S node --min-semi-space-size=64 --max-semi-space-size=64 --no-allocation-site-pretenuring
/** The `tallyback` command line. */
import { parseArgs } from 'node:util';
import { ListenError } from '../api/listen.ts';
import { CannotCopy } from '../eventstore/copy-log.ts';
import { CopyRefused, EventStoreUnavailable } from '../eventstore/port.ts';
import { NoLog } from '../eventstore/postgres/schema.ts';
import { ConfigurationError } from '../operations/configuration.ts';
import { PostgresStartError } from '../operations/postgres/index.ts';
import { OtherLog, OtherVersion } from '../projections/engine/errors.ts';
import { audit } from './audit.ts';
import { copyLogCommand } from './copy-log.ts';
import { demo } from './demo.ts';
import { configurationOf, IncompleteCopy } from './event-store.ts';
import { importOnlineRetail } from './import.ts';
import { projections } from './projections.ts';
import { serve } from './serve.ts';
import { openTerminal, type Terminal } from './terminal.ts';
import { UsageError } from './usage.ts';

const usage = `Tallyback: the event-sourced backend of a rebate app.

  tallyback serve [--data DIR] [--listen HOST:PORT] [--event-store URL] [--roles api,projector,policies]
                  [--metrics HOST:PORT] [--sse HOST:PORT [--sse-origin ORIGIN]]
      Runs everything in one process, on an embedded Postgres unless DATABASE_URL names another. The event log is
      in that Postgres unless --event-store names an EventStoreDB or KurrentDB (esdb://HOST:2113?tls=false). Any number
      of processes may share them; --roles says what this one does. --metrics serves GET /metrics for Prometheus, --sse
      serves the watches to browsers as event streams, to pages from there and of one more origin.
  tallyback demo [--seconds N] [--seed N]
      Starts a private instance, plays a shop through it, shows it live, checks the result.
  tallyback import online-retail FILE (--target HOST:PORT | --standalone [--data DIR] [--event-store URL])
                   --rebate-bps N --hold-days N [--withdraw-monthly MINOR] [--report DIR]
      Sends a year of real orders (.csv or .csv.br) through the gRPC API. Can be run again at any time.
  tallyback projections list [--data DIR] [--event-store URL]
  tallyback projections rebuild NAME [--dry-run] [--detach]
      Folds a read model from the whole log into a new table while the present one serves, compares the two, and lets
      the new one serve. Takes part in the work unless --detach leaves it to the servers; --dry-run only compares.
  tallyback projections pause | resume | cancel | accept | rollback NAME
      What is being built: leaves it, goes on, drops it, has it serve although it differs. Goes back to the table before.
  tallyback projections parked list | show | retry | drop [NAME [SCOPE]]
      Events that could not be folded, and what waits behind them: folds them after all, or leaves them out for good.
  tallyback audit [NAME…] [--data DIR] [--event-store URL]
      Compares every row of the read models (all of them, or these) with the log, and all money with the amounts in it.
      Beside running servers or without. Exit code 1 if anything differs.
  tallyback copy-log --from STORE --to STORE [--data DIR]
      Copies an event log into an empty one, compares the two event by event, and says that the copy is complete.
      STORE is esdb://…, postgres://…, embedded (the Postgres in the data folder) or embedded:DIR. Stop the servers
      first. Interrupted, it goes on where it was; a server started on the copy makes its read models anew.

  Environment: DATABASE_URL, TALLYBACK_DATA, TALLYBACK_LISTEN, TALLYBACK_EVENT_STORE, TALLYBACK_EVENT_STORE_NAMESPACE,
  TALLYBACK_EVENT_STORE_PASSWORD, TALLYBACK_POSTGRES_BIN, TALLYBACK_TOKEN_KEY, TALLYBACK_ROLES,
  TALLYBACK_REBUILD_EVENTS_PER_SECOND, TALLYBACK_AUDIT_ROWS_PER_SECOND, TALLYBACK_METRICS_LISTEN,
  TALLYBACK_SSE_LISTEN, TALLYBACK_SSE_ORIGIN, TALLYBACK_FOLD_THREADS.`;

function wholeNumber(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > most) {
    throw new UsageError(`--${name} takes a whole number from 0 to ${most}, not "${text}"`);
  }
  return value;
}

async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      data: { type: 'string' },
      listen: { type: 'string' },
      'event-store': { type: 'string' },
      roles: { type: 'string' },
      metrics: { type: 'string' },
      sse: { type: 'string' },
      'sse-origin': { type: 'string' },
      from: { type: 'string' },
      to: { type: 'string' },
      seconds: { type: 'string' },
      seed: { type: 'string' },
      target: { type: 'string' },
      standalone: { type: 'boolean' },
      'rebate-bps': { type: 'string' },
      'hold-days': { type: 'string' },
      'withdraw-monthly': { type: 'string' },
      report: { type: 'string' },
      'dry-run': { type: 'boolean' },
      detach: { type: 'boolean' },
    },
  });
  const [command, ...rest] = positionals;
  if (values.help || command === undefined) {
    terminal.print(usage);
    return command === undefined && !values.help ? 2 : 0;
  }
  const nothingMore = (): void => {
    if (rest.length > 0) throw new UsageError(`${command} takes no "${rest.join(' ')}"`);
  };
  switch (command) {
    case 'serve':
      nothingMore();
      return serve(configurationOf(values), terminal);
    case 'demo':
      nothingMore();
      return demo(
        {
          seconds: wholeNumber('seconds', values.seconds, 3_600),
          seed: wholeNumber('seed', values.seed, 0xffff_ffff),
        },
        terminal,
      );
    case 'import':
      if (rest[0] !== 'online-retail' || rest.length !== 2) {
        throw new UsageError('import takes "online-retail" and one file');
      }
      return importOnlineRetail(
        {
          file: rest[1] ?? '',
          target: values.target,
          standalone: values.standalone === true,
          data: values.data,
          eventStore: values['event-store'],
          rebateBps: wholeNumber('rebate-bps', values['rebate-bps'], 10_000),
          holdDays: wholeNumber('hold-days', values['hold-days'], 3_650),
          withdrawMonthly: wholeNumber('withdraw-monthly', values['withdraw-monthly'], 1_000_000_000),
          report: values.report,
        },
        terminal,
      );
    case 'projections':
      return projections(
        rest,
        { dryRun: values['dry-run'] === true, detach: values.detach === true },
        configurationOf(values),
        terminal,
      );
    case 'audit':
      return audit(rest, configurationOf(values), terminal);
    case 'copy-log':
      nothingMore();
      return copyLogCommand({ from: values.from, to: values.to, data: values.data }, terminal);
    default:
      throw new UsageError(`there is no command "${command}"`);
  }
}

const isUsageProblem = (error: unknown): error is Error =>
  error instanceof UsageError ||
  error instanceof ConfigurationError ||
  (error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));

/** Their messages say all there is to know. */
const expectedErrors = [
  PostgresStartError,
  EventStoreUnavailable,
  ListenError,
  IncompleteCopy,
  OtherLog,
  OtherVersion,
  CannotCopy,
  CopyRefused,
  NoLog,
] as const;

const terminal = openTerminal();
try {
  process.exitCode = await run(process.argv.slice(2), terminal);
} catch (error) {
  if (isUsageProblem(error)) {
    process.stderr.write(`tallyback: ${error.message}\n\nSee tallyback --help.\n`);
    process.exitCode = 2;
  } else {
    const expected = expectedErrors.some((kind) => error instanceof kind);
    process.stderr.write(
      `tallyback: ${expected || !(error instanceof Error) ? String(error) : error.stack}\n`,
    );
    process.exitCode = 1;
  }
}
