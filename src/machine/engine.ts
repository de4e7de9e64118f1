/** What the backend-neutral machine asks of an engine; the addon's machine object has this shape for both. */
import type { Layout, NativeMachine } from '../native/contract.ts';
import type { GuestMemory } from './memory.ts';
import type { Vcpu } from './vcpu.ts';
import type { AnyVmcs, EnterOptions, VmStop } from './vm-entry.ts';

/** One engine's machine, and where the structures that it shares lie. */
export interface EngineMachine {
  readonly kind: BackendKind;
  readonly native: NativeMachine;
  readonly layout: Layout;
  readonly countsInstructions: boolean;
  /** What CPUID is to tell a processor, as kvm_cpuid_entry2; without it the engine's own model stands. */
  readonly cpuid?: (cpu: number) => Uint8Array;
  /** VM entries by a VMCS. */
  readonly enter: (vcpu: Vcpu, memory: GuestMemory, vmcs: AnyVmcs, options: EnterOptions) => Promise<VmStop>;
}

export interface EngineOptions {
  readonly irqchip: Irqchip;
  readonly cpus: number;
  readonly translations?: 'stale' | undefined;
  readonly seed?: bigint | undefined;
}

/**
 * Who answers interrupts: nobody (`none`), the PC's 8259 pair with its 8254 in user space (`pic`, both backends), or
 * the kernel's PICs, I/O APIC and local APICs (`kernel`, KVM only).
 */
export type Irqchip = 'none' | 'pic' | 'kernel';

export type BackendKind = 'kvm' | 'emulated';

/** A way to get machines. `open` throws a KernelError or NotSupportedError where this host cannot give one. */
export interface Backend {
  readonly kind: BackendKind;
  /** In one sentence, what a machine of this backend runs on. */
  readonly description: string;
  open(options: EngineOptions, onWake: () => void): Promise<EngineMachine>;
}
