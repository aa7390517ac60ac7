/** The watches there are, each with what the test needs to know of it beside the client: the table that it shows. */
import type { ChannelCredentials, ClientOptions, ClientReadableStream } from '@grpc/grpc-js';
import { credentials } from '@grpc/grpc-js';
import {
  AccountQueryServiceClient,
  type Balance,
  type BalanceChanges,
  type StatementChanges,
  type StatementEntry,
} from '../../src/gen/tallyback/account/v1/account_query_service.ts';
import type { WatchOptions } from '../../src/gen/tallyback/common/v1/watch.ts';
import {
  FiguresQueryServiceClient,
  type Window,
  type WindowChanges,
  WindowLength,
} from '../../src/gen/tallyback/figures/v1/figures_query_service.ts';
import {
  ItemQueryServiceClient,
  type Stock,
  type StockChanges,
} from '../../src/gen/tallyback/item/v1/item_query_service.ts';
import {
  type Order,
  type OrderChanges,
  OrderQueryServiceClient,
  OrderStatus,
} from '../../src/gen/tallyback/order/v1/order_query_service.ts';
import { balanceOf, entryOf, orderOf, stockOf, windowOf } from '../../src/api/row-messages.ts';
import { balance, figures, orders, statement, stock } from '../../src/projections/index.ts';
import type { Columns, ReadModel, RowOf } from '../../src/projections/engine/read-model.ts';
import { type About, merchants, members, skus } from './shop.ts';
import type { Message, Watchable } from './watch-client.ts';

export interface Kind<C extends Columns, Changes, Row> extends Watchable<Changes, Row> {
  readonly name: string;
  readonly model: ReadModel<C>;
  readonly message: (row: RowOf<C>) => Row;
  /** Rises with every change of a row, or is left out. */
  readonly age?: (row: Row) => bigint;
  /** Every row is sent once, and those of one of these in the order of their ages. */
  readonly ledger?: (row: Row) => string;
  /** A random filter. */
  readonly filter: (random: () => number) => Wanted<Changes, Row>;
}

interface Wanted<Changes, Row> {
  readonly text: string;
  readonly matches: (row: Row) => boolean;
  /** Whether rows about these match, whatever else becomes of them. */
  readonly surely: (about: About) => boolean;
  /** Begins a stream on a connection of its own. */
  readonly open: (address: string, options: WatchOptions) => ClientReadableStream<Message<Changes>>;
}

type Client = new (address: string, secrets: ChannelCredentials, options: ClientOptions) => { close(): void };

/** A small window, so that the server soon notices that a client does not read. */
const channel: ClientOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc-node.flow_control_window': 4_096,
  'grpc.initial_reconnect_backoff_ms': 50,
};

function on<C extends Client, Changes>(
  Made: C,
  address: string,
  begin: (client: InstanceType<C>) => ClientReadableStream<Message<Changes>>,
): ClientReadableStream<Message<Changes>> {
  const client = new Made(address, credentials.createInsecure(), channel) as InstanceType<C>;
  const call = begin(client);
  call.on('status', () => client.close());
  return call;
}

/** Some of them, or, half of the time, none: all. */
const some = (random: () => number, of: readonly string[]): string[] =>
  random() < 0.5 ? [] : of.filter(() => random() < 0.4);
const among = (wanted: readonly string[], value: string): boolean =>
  wanted.length === 0 || wanted.includes(value);
const words = (what: string, wanted: readonly string[]): string =>
  `${what} ${wanted.length === 0 ? 'all' : wanted.join(',')}`;

export const balances: Kind<typeof balance.table.columns, BalanceChanges, Balance> = {
  name: 'balances',
  model: balance,
  message: balanceOf,
  rows: (changes) => changes.balances,
  keyOf: ({ member, currency }) => `${member}/${currency}`,
  removals: () => [],
  age: ({ revision }) => revision,
  filter(random) {
    const wanted = some(random, members);
    return {
      text: words('members', wanted),
      matches: ({ member }) => among(wanted, member),
      surely: ({ member }) => among(wanted, member),
      open: (address, options) =>
        on(AccountQueryServiceClient, address, (client) =>
          client.watchBalances({ members: wanted, consistency: undefined, options }),
        ),
    };
  },
};

export const statements: Kind<typeof statement.table.columns, StatementChanges, StatementEntry> = {
  name: 'statement',
  model: statement,
  message: entryOf,
  rows: (changes) => changes.entries,
  keyOf: ({ member, currency, revision }) => `${member}/${currency}/${revision}`,
  removals: () => [],
  age: ({ revision }) => revision,
  ledger: ({ member, currency }) => `${member}/${currency}`,
  filter(random) {
    const wanted = some(random, members);
    return {
      text: words('members', wanted),
      matches: ({ member }) => among(wanted, member),
      surely: ({ member }) => among(wanted, member),
      open: (address, options) =>
        on(AccountQueryServiceClient, address, (client) =>
          client.watchStatement({ members: wanted, consistency: undefined, options }),
        ),
    };
  },
};

const statuses = [
  OrderStatus.TRACKED,
  OrderStatus.CONFIRMED,
  OrderStatus.DECLINED,
  OrderStatus.SETTLED,
] as const;

export const documents: Kind<typeof orders.table.columns, OrderChanges, Order> = {
  name: 'orders',
  model: orders,
  message: orderOf,
  rows: (changes) => changes.orders,
  keyOf: ({ source, externalId }) => `${source}/${externalId}`,
  removals: ({ removals }) => removals.map(({ source, externalId }) => `${source}/${externalId}`),
  age: ({ sourceVersion }) => sourceVersion,
  filter(random) {
    const wanted = random() < 0.2 ? [] : statuses.filter(() => random() < 0.4);
    const [member = ''] = random() < 0.7 ? [] : some(random, members);
    const [merchant = ''] = random() < 0.7 ? [] : some(random, merchants);
    return {
      text: `orders of ${member || 'all'} at ${merchant || 'all'} with status ${wanted.join(',') || 'any'}`,
      matches: (order) =>
        (member === '' || order.member === member) &&
        (merchant === '' || order.merchant === merchant) &&
        (wanted.length === 0 || wanted.some((one) => one === order.status)),
      surely: (about) =>
        wanted.length === 0 &&
        (member === '' || about.member === member) &&
        (merchant === '' || about.merchant === merchant),
      open: (address, options) =>
        on(OrderQueryServiceClient, address, (client) =>
          client.watchOrders({
            source: '',
            merchant,
            member,
            statuses: wanted,
            consistency: undefined,
            options,
          }),
        ),
    };
  },
};

export const windows: Kind<typeof figures.table.columns, WindowChanges, Window> = {
  name: 'windows',
  model: figures,
  message: windowOf,
  rows: (changes) => changes.windows,
  keyOf: ({ merchant, currency, length, start }) =>
    `${merchant}/${currency}/${length}/${start?.toISOString()}`,
  removals: () => [],
  filter(random) {
    const length = random() < 0.5 ? WindowLength.DAY : WindowLength.HOUR;
    const [merchant = ''] = some(random, merchants);
    return {
      text: `windows of ${merchant || 'all'}, length ${length}`,
      matches: (window) => window.length === length && (merchant === '' || window.merchant === merchant),
      surely: () => false,
      open: (address, options) =>
        on(FiguresQueryServiceClient, address, (client) =>
          client.watchWindows({ merchant, length, from: undefined, consistency: undefined, options }),
        ),
    };
  },
};

export const stocks: Kind<typeof stock.table.columns, StockChanges, Stock> = {
  name: 'stock',
  model: stock,
  message: stockOf,
  rows: (changes) => changes.stock,
  keyOf: ({ merchant, sku }) => `${merchant}/${sku}`,
  removals: () => [],
  age: ({ revision }) => revision,
  filter(random) {
    const wanted = some(random, skus);
    const [merchant = ''] = some(random, merchants);
    return {
      text: `${words('skus', wanted)} at ${merchant || 'all'}`,
      matches: (row) => among(wanted, row.sku) && (merchant === '' || row.merchant === merchant),
      surely: (about) => among(wanted, about.sku) && (merchant === '' || about.merchant === merchant),
      open: (address, options) =>
        on(ItemQueryServiceClient, address, (client) =>
          client.watchStock({ merchant, skus: wanted, consistency: undefined, options }),
        ),
    };
  },
};
