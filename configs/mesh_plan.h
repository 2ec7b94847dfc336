// SPDX-License-Identifier: Apache-2.0
// Between the schema and the planner: a mesh, a model and a method as the planner's plain numbers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "configs/decoder.h"
#include "configs/schema/sweep.pb.h"
#include "sharding/planner/mesh_table.h"

namespace finescale {

[[nodiscard]] planner::ModelShape model_shape(const DecoderShape& shape);
// Whether it changes the base, keeps it in another form, or computes with its values besides
// multiplying by them.
[[nodiscard]] bool reads_base(const config::Method& method);
// Whether tokens are looked up in bf16: a base of few bits whose products are of bf16.
[[nodiscard]] bool rounds_table(const config::Train& train);
// batch and steps are what the data make of the stage.
[[nodiscard]] planner::Workload workload(const config::Train& train, const DecoderShape& model,
                                         const planner::BatchShape& batch, double steps);

// Axes and levers as written; `overlap: auto` is off until it is decided.
[[nodiscard]] planner::Plan mesh_plan(const config::Mesh& mesh);
// What a mesh with `choice: auto` settles.
[[nodiscard]] planner::Settled settled_fields(const config::Mesh& mesh);
// Names of the fields that are written. Canonical text writes defaults out, so they travel beside
// it.
[[nodiscard]] std::vector<std::string> written_fields(const config::Mesh& mesh);
void clear_unwritten(const std::vector<std::string>& written, config::Mesh& mesh);
// The chosen plan as a mesh that is given.
[[nodiscard]] config::Mesh mesh_of(const planner::Plan& plan);
// zero: 1 with shard > 1. It sends the same bytes as no ZeRO at all, and holds the optimizer's
// state once; 2 and 3 send more with every micro-batch.
void resolve_mesh(config::Mesh& mesh);

// "nearest mesh of 6 ranks: {data: 3, tensor: 2}", for models that are known from the sweep.
[[nodiscard]] std::string nearest_mesh_hint(const config::Sweep& sweep, int ranks);
// For a model that is known only later (base.model). Throws kConfig; `where` is the field's path.
void check_mesh(const DecoderShape& model, const config::Mesh& mesh);

// 1500, 8GiB, 1.5 GiB; nothing for anything else.
[[nodiscard]] std::optional<double> parse_bytes(const std::string& text);

}  // namespace finescale
