#!/usr/bin/env bash
# The WGPU flavour on a machine without a GPU: log-probabilities and all gradients of small models on Mesa's software
# Vulkan, against the CPU. Opt-in, because compiling takes some 20 minutes on two cores and starting the shaders
# minutes more.
#
#   tests/wgpu.sh
set -euo pipefail
cd "$(dirname "$0")/.."

if ! ls /usr/share/vulkan/icd.d/lvp_icd* /etc/vulkan/icd.d/lvp_icd* >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mesa-vulkan-drivers libvulkan1 >/dev/null
  else
    echo "no software Vulkan here: install Mesa's (Debian: mesa-vulkan-drivers libvulkan1)" >&2
    exit 1
  fi
fi
# Autotuning every kernel would take far longer than running it.
export CUBECL_AUTOTUNE_LEVEL="${CUBECL_AUTOTUNE_LEVEL:-minimal}" ENTROPO_TEST_DEVICE=wgpu
exec cargo test -p model --locked --features wgpu --test gpu -- --nocapture
