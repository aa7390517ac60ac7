/** Who may import whom, and who may look at the clock: the rules of docs/architecture.md as data. */

interface FolderRule {
  /** Folders of src/ it may import from, beside itself. */
  readonly folders: readonly string[];
  /** npm packages and node: modules it may import; undefined: any. */
  readonly packages?: readonly RegExp[];
}

const rules: Readonly<Record<string, FolderRule>> = {
  domain: { folders: ['gen/tallyback/events'], packages: [] },
  eventstore: {
    folders: ['gen/event_store'],
    packages: [/^pg$/, /^@eventstore\/db-client$/, /^@grpc\/grpc-js$/, /^node:/],
  },
  application: {
    folders: ['domain', 'eventstore', 'gen/tallyback/events'],
    packages: [/^lru-cache$/, /^uuid$/, /^pg$/, /^node:/],
  },
  projections: {
    folders: ['domain', 'eventstore', 'gen/tallyback/events'],
    packages: [/^lru-cache$/, /^pg$/, /^pg-copy-streams$/, /^node:/],
  },
  api: {
    folders: ['application', 'projections', 'domain', 'eventstore', 'gen'],
    packages: [/^@grpc\//, /^grpc-health-check$/, /^@bufbuild\//, /^node:/],
  },
  operations: { folders: [], packages: [/^pg$/, /^node:/] },
  main: { folders: ['api', 'application', 'projections', 'domain', 'eventstore', 'operations', 'gen'] },
};

/** Packages that only some files may know. */
const confined: readonly (readonly [RegExp, RegExp])[] = [
  [/^@eventstore\/db-client/, /^eventstore\/eventstoredb\/client\.ts$/],
  [/^@grpc\//, /^(?:api|main|eventstore\/eventstoredb)\//],
  [/^pg$/, /^(?!projections\/(?!postgres\/))/],
];

/** Folders of src/ in which some files may not import from others. */
const apart: readonly (readonly [files: RegExp, from: RegExp])[] = [
  // The engine knows the database by its port.
  [/^projections\/(?!postgres\/)/, /^projections\/postgres\//],
];

/** Files that are the edge: the only ones that may use the clock, chance, timers or the environment. */
const edges = [/^main\//, /^operations\//, /\/edges\.ts$/];

const ambient: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\(/, 'Date.now'],
  [/\bnew Date\(\)/, 'new Date()'],
  [/\bMath\.random\(/, 'Math.random'],
  [/\bperformance\.now\(/, 'performance.now'],
  [/\bprocess\.env\b/, 'process.env'],
];

const importPattern =
  /(?:^|\n)\s*(?:import|export)\b[^'";]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/g;

/** Path of an import, from src/. */
function resolveFromSrc(file: string, specifier: string): string {
  const parts = file.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** What one file (path from src/) does that it may not. */
export function violationsIn(file: string, source: string): string[] {
  const folder = file.split('/')[0] ?? '';
  const rule = rules[folder];
  if (folder === 'gen') return [];
  if (!rule) return [`${file}: src/${folder} is not a folder of the house`];

  const found: string[] = [];
  for (const match of source.matchAll(importPattern)) {
    const specifier = match[1] ?? match[2] ?? '';
    if (specifier.startsWith('.')) {
      const target = resolveFromSrc(file, specifier);
      const allowed = [folder, ...rule.folders].some((f) => target.startsWith(`${f}/`));
      const isKeptApart = apart.some(([files, from]) => files.test(file) && from.test(target));
      if (!allowed || isKeptApart) found.push(`${file} imports ${target}`);
    } else if (rule.packages && !rule.packages.some((allowed) => allowed.test(specifier))) {
      found.push(`${file} imports ${specifier}`);
    }
    for (const [name, files] of confined) {
      if (name.test(specifier) && !files.test(file)) found.push(`${file} may not know ${specifier}`);
    }
  }
  const code = source.replaceAll(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
  if (!edges.some((edge) => edge.test(file))) {
    for (const [pattern, name] of ambient) if (pattern.test(code)) found.push(`${file} uses ${name}`);
  }
  if (/\bas any\b|: any\b|\bas unknown as\b/.test(code)) found.push(`${file} casts its way out of the types`);
  return found;
}
