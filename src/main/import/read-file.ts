/**
 * Reads an Online Retail file (`.csv`, or `.csv.br` compressed with Brotli) and checks all of it: nothing is sent
 * before the last row is known to be good. What is wrong is told by line; rows that can be told apart are all
 * checked, what makes the rest of the file unreadable (an open quote, a cut stream) ends the reading.
 */
import { createReadStream } from 'node:fs';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { CsvError, parse, type Parser } from 'csv-parse';
import { columns, type Row, rowChecker } from './row.ts';

/** The file is not what it should be. The message says where and why, for people. */
export class ImportFileError extends Error {
  override readonly name = 'ImportFileError';
}

export interface ReadFileOptions {
  readonly path: string;
  readonly onRow: (row: Row) => void;
  /** Called now and then. */
  readonly onProgress?: (rows: number) => void;
  readonly signal: AbortSignal;
}

/** At most so many bad rows are told. */
const mostTold = 20;
const progressEvery = 20_000;
/** Longest row, in bytes: keeps an unclosed quote from swallowing the file. */
const longestRow = 64 * 1024;

/** Gives the number of rows. Rejects with ImportFileError. */
export async function readFile({ path, onRow, onProgress, signal }: ReadFileOptions): Promise<number> {
  const check = rowChecker();
  const problems: string[] = [];
  let bad = 0;
  let rows = 0;
  let header = false;

  // The hook takes the rows and lets none go on into the parser's output: half a million rows as stream objects
  // would cost more than parsing them.
  const parser = parse({
    bom: true,
    relax_column_count: true,
    skip_empty_lines: false,
    max_record_size: longestRow,
    record_delimiter: ['\r\n', '\n'],
    on_record: (fields: string[], { lines }) => {
      if (!header) {
        if (fields.join(',') !== columns.join(','))
          throw new ImportFileError(`the first line is not the header ${columns.join(',')}`);
        header = true;
        return null;
      }
      const result = check(fields);
      if (result.kind === 'row') {
        rows += 1;
        if (bad === 0) onRow(result.row);
        if (onProgress && rows % progressEvery === 0) onProgress(rows);
        return null;
      }
      bad += 1;
      if (problems.length < mostTold) problems.push(`line ${lines}: ${result.why}`);
      return null;
    },
  });

  await feed(path, parser, signal);
  if (!header) throw new ImportFileError('the file is empty');
  if (bad > 0) {
    const more = bad > problems.length ? `\n… and ${bad - problems.length} more` : '';
    throw new ImportFileError(`${bad} bad row${bad === 1 ? '' : 's'}:\n${problems.join('\n')}${more}`);
  }
  if (rows === 0) throw new ImportFileError('the file holds no rows');
  return rows;
}

async function feed(path: string, parser: Parser, signal: AbortSignal): Promise<void> {
  // A cut in the last column of the last row would pass for a row; a whole file ends with a line break.
  let lastByte = 0x0a;
  async function* watchEnd(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      lastByte = chunk.at(-1) ?? lastByte;
      yield chunk;
    }
  }
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  try {
    parser.resume();
    const ended = once(parser, 'end', { signal });
    const fed = path.endsWith('.br')
      ? pipeline(file, createBrotliDecompress(), watchEnd, parser, { signal })
      : pipeline(file, watchEnd, parser, { signal });
    await Promise.all([fed, ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, path);
  }
  if (lastByte !== 0x0a)
    throw new ImportFileError(
      'the file ends within a line (no line break after the last row): it seems to be cut off',
    );
}

function explain(error: unknown, path: string): unknown {
  if (error instanceof ImportFileError || !(error instanceof Error)) return error;
  if (error instanceof CsvError) {
    const line = typeof error['lines'] === 'number' ? `line ${error['lines']}: ` : '';
    if (error.code === 'CSV_QUOTE_NOT_CLOSED' || error.code === 'CSV_MAX_RECORD_SIZE')
      return new ImportFileError(`${line}a quote is opened and never closed, or the file is cut off`);
    return new ImportFileError(`${line}${error.message}`);
  }
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return new ImportFileError(`there is no file ${path}`);
  if (code === 'EISDIR' || code === 'EACCES') return new ImportFileError(`${path} cannot be read (${code})`);
  if (code === 'Z_BUF_ERROR')
    return new ImportFileError('the compressed data end too early: the file is cut off');
  if (
    typeof code === 'string' &&
    (code.startsWith('ERR__ERROR_') || code.startsWith('ERR_BROTLI') || code.startsWith('Z_'))
  )
    return new ImportFileError(`the file is not valid Brotli data (${code})`);
  return error;
}
