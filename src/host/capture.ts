/** Captures: a host's record as a JSON file, read alike on every machine. */
import type * as zod from 'zod';
import { codecs, type DocumentKind, lazySchema, loadZod, parseDocument } from '../json-document.ts';
import type { HostRecord } from './facts.ts';

export const captureVersion = 1;

/** More functions, disks or interfaces than a host has: what they are used for is searched from each to each. */
const mostDevices = 0x2000;

/** What a capture holds: everything that was read of a host. Its source is the file from then on. */
type Facts = Omit<HostRecord, 'source'>;

export interface Capture {
  readonly vtkitCapture: typeof captureVersion;
  /** The kernel's release. */
  readonly release: string | null;
  readonly facts: Facts;
}

const schema = lazySchema(build);

const kind: DocumentKind<Capture> = {
  noun: 'capture',
  writer: 'vtkit capture',
  key: 'vtkitCapture',
  version: captureVersion,
  described: 'what capture.schema.json describes',
  schema,
};

export function encodeCapture(record: HostRecord): string {
  const { source, ...facts } = record;
  const capture: Capture = { vtkitCapture: captureVersion, release: source.release, facts };
  return `${JSON.stringify(schema().encode(capture), null, 1)}\n`;
}

export function looksLikeCapture(text: string): boolean {
  return /^\s{0,64}\{\s{0,64}"vtkitCapture"/.test(text);
}

/** @throws CorruptInputError naming the place in the document and what was expected there */
export const parseCapture = (text: string, file: string): Capture => parseDocument(kind, text, file);

/** JSON Schema of the file. */
export function captureJsonSchema(): unknown {
  return loadZod().toJSONSchema(schema(), { io: 'input' });
}

/** One definition for both ways: it encodes, decodes and checks, and gives the JSON Schema. */
function build(z: typeof zod): zod.ZodType<Capture> {
  type Type = zod.ZodType;
  const unread = z.strictObject({ source: z.string(), error: z.string(), code: z.string().optional() });
  const fact = (value: Type) => z.union([z.strictObject({ source: z.string(), value }), unread]);
  const texts = z.array(z.string());
  const named = (value: Type) => z.record(z.string(), value);
  const { hex64, bytes } = codecs(z);
  const register = z.codec(z.string().regex(/^0x[0-9a-f]{8}$/), z.number(), {
    decode: (digits) => Number.parseInt(digits, 16),
    encode: (value) => `0x${(value >>> 0).toString(16).padStart(8, '0')}`,
  });
  const byNumber = (value: Type) =>
    z.codec(z.record(z.string().regex(/^\d{1,10}$/), value), z.map(z.number(), z.unknown()), {
      decode: (rows) => new Map(Object.entries(rows).map(([key, row]) => [Number(key), row])),
      encode: (rows) => Object.fromEntries(rows),
    });
  const byName = (value: Type) =>
    z.codec(named(value), z.map(z.string(), z.unknown()), {
      decode: (rows) => new Map(Object.entries(rows)),
      encode: (rows) => Object.fromEntries(rows),
    });
  const leaf = z.strictObject({
    leaf: register,
    subleaf: register,
    eax: register,
    ebx: register,
    ecx: register,
    edx: register,
  });
  const text = z.string().nullable();
  /** Null where the kernel has no such file. */
  const attribute = (value: Type) => z.union([value, z.literal('unknown')]).nullable();
  const vfBar = z.strictObject({ bar: z.number(), bytes: z.string(), assigned: z.boolean() });
  const attributes = z.strictObject({
    address: z.string(),
    resetMethods: z.union([texts, z.literal('unknown')]),
    driverOverride: text,
    numaNode: attribute(z.number()),
    bootVga: attribute(z.boolean()),
    enabled: attribute(z.boolean()),
    d3coldAllowed: attribute(z.boolean()),
    vfioDevice: text,
    vfBars: attribute(z.array(vfBar)),
  });
  const route = z.strictObject({ interface: z.string(), isDefault: z.boolean() });
  const usage = z.strictObject({
    interfaces: fact(z.array(z.strictObject({ name: z.string(), functions: texts, lower: texts })).max(mostDevices)),
    ipv4Routes: fact(z.array(route)),
    ipv6Routes: fact(z.array(route)),
    blockDevices: fact(
      z
        .array(
          z.strictObject({
            name: z.string(),
            number: text,
            functions: texts,
            disk: text,
            holders: texts,
            label: text,
            pool: z.number().nullable(),
          }),
        )
        .max(mostDevices),
    ),
    mounts: fact(z.array(z.strictObject({ point: z.string(), number: text, type: z.string(), source: z.string() }))),
    swaps: fact(texts),
    consoles: fact(z.array(z.strictObject({ name: z.string(), functions: texts }))),
    vfioHolders: fact(
      z.strictObject({
        holders: z.array(z.strictObject({ pid: z.number(), command: text, node: z.string() })),
        unseen: z.number(),
      }),
    ),
  });
  const facts = z.strictObject({
    cpuid: byNumber(fact(z.array(leaf))),
    msrs: byNumber(byNumber(fact(hex64))),
    cpuinfo: fact(z.strictObject({ flags: texts, vmxFlags: texts.nullable() })),
    kvmNode: fact(z.strictObject({ mode: z.string(), uid: z.number(), gid: z.number() })),
    kvmAccess: fact(z.literal(true)),
    kvm: fact(
      z.strictObject({
        apiVersion: fact(z.number()),
        vm: fact(z.boolean()),
        vcpuMmapSize: fact(z.number()),
        capabilities: fact(named(z.number())),
        featureMsrs: fact(byNumber(hex64)),
        supportedCpuid: fact(z.array(leaf)),
      }),
    ),
    modules: fact(byName(named(z.string()))),
    kernelConfig: fact(named(z.enum(['y', 'm', 'n']))),
    cmdline: fact(z.string()),
    iommuUnits: fact(z.array(z.strictObject({ name: z.string(), version: text, cap: text, ecap: text }))),
    iommuGroups: fact(
      z.array(
        z.strictObject({
          id: z.string(),
          type: text,
          devices: texts,
          reservedRegions: z
            .array(z.strictObject({ base: z.string(), limit: z.string(), type: z.string() }))
            .nullable(),
        }),
      ),
    ),
    acpiTables: fact(texts),
    dmarTable: fact(bytes),
    remappedInterrupts: fact(texts),
    vfioNodes: fact(texts),
    pciRecords: fact(
      z
        .array(
          z.strictObject({
            address: z.string(),
            config: bytes,
            kernel: z
              .strictObject({
                vendorId: text,
                deviceId: text,
                class: text,
                driver: text,
                iommuGroup: text,
                physicalFunction: text,
                virtualFunctions: z.union([z.strictObject({ total: z.number(), enabled: z.number() }), text]),
              })
              .nullable(),
            faults: z.array(z.strictObject({ message: z.string(), offset: z.number().nullable() })),
          }),
        )
        .max(mostDevices),
    ),
    pciAttributes: fact(z.array(attributes)),
    usage,
  });
  return z.strictObject({
    vtkitCapture: z.literal(captureVersion),
    release: text,
    facts,
  }) as unknown as zod.ZodType<Capture>;
}
