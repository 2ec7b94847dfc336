#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands in for ssh: OMPI_MCA_plm_rsh_agent takes one program.
exec "$(dirname "$0")/../../scripts/test_hosts.sh" agent "$@"
