/** What /dev/kvm can do here, by doing it. */
import type { Fact, HostFacts, KvmAnswers } from '../host/facts.ts';
import { hasFeature } from '../x86/cpuid.ts';
import { all, type Check, evidence, from, type Verdict, verdict } from './check.ts';
import { firstLeaves } from './vmx.ts';

/** What drives guests: VMX, SVM, or neither. */
const technology: Readonly<Record<string, string>> = { kvm_intel: 'VMX', kvm_amd: 'SVM' };

const absent = 'there is no /dev/kvm';
const load = 'modprobe kvm_intel (kvm_amd on AMD); the kernel log says why if it refuses';

/** What helps where KVM_CREATE_VM or the opening of /dev/kvm fails, by errno. */
const cures: Readonly<Record<string, string>> = {
  ENOENT: `${load}; in a container, pass --device /dev/kvm`,
  ENODEV: load,
  ENXIO: load,
  EACCES: 'join the group that owns /dev/kvm (usermod -aG kvm USER, then log in again), or run as root',
  EPERM: 'allow the container or its cgroup the device (--device /dev/kvm)',
  EBUSY: 'end the other hypervisor: something else on this host holds VMX or SVM',
};

/** Errors that say that something ran short for a moment, and nothing of the host. */
const passing = ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'];

/** An answer of /dev/kvm: without the descriptor nothing was asked. */
function answer<T>({ kvm }: HostFacts, pick: (kvm: KvmAnswers) => Fact<T>): Fact<T> {
  return kvm.error === undefined ? pick(kvm.value) : kvm;
}

/** The modules that run guests; KVM itself is `kvm`. */
export function backendModules(facts: HostFacts): string[] {
  return [...(facts.modules.value?.keys() ?? [])].filter((name) => name.startsWith('kvm_'));
}

/** A machine was created: the only proof that others can be. */
export function usable(facts: HostFacts): Verdict {
  const vm = answer(facts, ({ vm }) => vm);
  if (vm.error !== undefined) {
    if (vm.code === undefined || passing.includes(vm.code)) {
      return verdict('unknown', `no machine was created: ${vm.error}`, [evidence(vm)]);
    }
    return verdict('no', `no machine can be created: ${vm.error}`, [evidence(vm)], cures[vm.code]);
  }
  const modules = backendModules(facts);
  const by = modules.length > 0 ? ` by ${modules.join(', ')}` : '';
  const leaves = firstLeaves(facts);
  const neither = leaves.length > 0 && !hasFeature(leaves, 'vmx') && !hasFeature(leaves, 'svm');
  const despite = neither ? ', though CPUID announces neither vmx nor svm' : '';
  return verdict('yes', `a machine was created${by}${despite}`, [evidence(vm, () => 'created and closed')]);
}

function capability(facts: HostFacts, name: string): Verdict {
  return from(
    answer(facts, ({ capabilities }) => capabilities),
    (values) => ((values[name] ?? 0) > 0 ? ['yes', `${name} is ${values[name]}`] : ['no', `${name} is 0`]),
    { show: (values) => `${name} = ${values[name] ?? 0}`, absent },
  );
}

export const kvm: readonly Check[] = [
  {
    id: 'kvm.node',
    area: 'kvm',
    title: '/dev/kvm exists',
    rule: (facts) =>
      from(facts.kvmNode, () => ['yes', 'the node is there'], {
        show: ({ mode, uid, gid }) => `mode ${mode}, uid ${uid}, gid ${gid}`,
        absent,
      }),
    remedy: { no: cures.ENOENT as string },
  },
  {
    id: 'kvm.permission',
    area: 'kvm',
    title: 'you may open it',
    rule: (facts) => {
      const { kvmAccess: access } = facts;
      if (access.code === 'EACCES' || access.code === 'EPERM') {
        return verdict('no', 'you may not read and write it', [evidence(access)], cures[access.code]);
      }
      const seen = from(access, () => ['yes', 'readable and writable'], { absent });
      return seen.state === 'no' ? { ...seen, remedy: null } : seen;
    },
  },
  {
    id: 'kvm.api',
    area: 'kvm',
    title: 'API version 12',
    rule: (facts) =>
      from(
        answer(facts, ({ apiVersion }) => apiVersion),
        (version) => (version === 12 ? ['yes', 'the stable API'] : ['no', `version ${version} is not the stable API`]),
        { absent },
      ),
  },
  {
    id: 'kvm.module',
    area: 'kvm',
    title: 'kernel module that runs guests',
    rule: (facts) =>
      from(
        facts.modules,
        () => {
          const found = backendModules(facts);
          if (found.length > 0) {
            return ['yes', found.map((name) => `${name} (${technology[name] ?? 'neither VMX nor SVM'})`).join(', ')];
          }
          return usable(facts).state === 'yes'
            ? ['unknown', 'built into the kernel, which does not tell its name', null]
            : ['no', 'no module of KVM is loaded'];
        },
        {
          show: (loaded) =>
            [...loaded]
              .filter(([name]) => name.startsWith('kvm'))
              .map(([name, parameters]) => `${name} ${JSON.stringify(parameters)}`)
              .join(' ') || 'none',
        },
      ),
    remedy: { no: load },
  },
  {
    id: 'kvm.usable',
    area: 'kvm',
    title: 'usable now',
    rule: (facts) => {
      const made = usable(facts);
      const { source } = facts;
      const elsewhere = made.state === 'unknown' && source.kind === 'live' && source.root !== '/';
      return elsewhere ? { ...made, remedy: 'run vtkit probe on the host itself: only its kernel can tell' } : made;
    },
  },
  {
    id: 'kvm.irqchip',
    area: 'kvm',
    kind: 'feature',
    title: 'interrupt controllers in the kernel',
    rule: (facts) => capability(facts, 'KVM_CAP_IRQCHIP'),
  },
  {
    id: 'kvm.ioeventfd',
    area: 'kvm',
    kind: 'feature',
    title: 'ioeventfd and irqfd',
    rule: (facts) => all(capability(facts, 'KVM_CAP_IOEVENTFD'), capability(facts, 'KVM_CAP_IRQFD')),
  },
  {
    id: 'kvm.dirty-ring',
    area: 'kvm',
    kind: 'feature',
    title: 'dirty ring',
    rule: (facts) => capability(facts, 'KVM_CAP_DIRTY_LOG_RING'),
  },
  {
    id: 'kvm.nested-state',
    area: 'kvm',
    kind: 'feature',
    title: 'nested state can be saved',
    rule: (facts) => capability(facts, 'KVM_CAP_NESTED_STATE'),
  },
];
