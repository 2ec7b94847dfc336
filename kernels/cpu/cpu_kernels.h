// SPDX-License-Identifier: Apache-2.0
// The CPU twins: same argument lists as the operations of kernels/*.h, found by the dispatchers.
#pragma once

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/divergence.h"
#include "kernels/embedding.h"
#include "kernels/entries.h"
#include "kernels/factors.h"
#include "kernels/gelu.h"
#include "kernels/gemm.h"
#include "kernels/head_norm.h"
#include "kernels/layernorm.h"
#include "kernels/lion.h"
#include "kernels/packed_moments.h"
#include "kernels/prefix_attention.h"
#include "kernels/quantised.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/round.h"
#include "kernels/row_gemm.h"
#include "kernels/scaled_matrix.h"
#include "kernels/sgd.h"
#include "kernels/swiglu.h"

namespace finescale::cpu {

// Elements of simple row kernels; below this a second thread costs more than it brings.
inline constexpr std::int64_t kGrainElements = 16384;

decltype(finescale::gemm) gemm;
decltype(finescale::gemm_by_rows) gemm_by_rows;
decltype(finescale::row_gemm) row_gemm;
decltype(finescale::round_to_bf16) round_to_bf16;
decltype(finescale::dequantise) dequantise;
decltype(finescale::gather_entries) gather_entries;
decltype(finescale::scatter_entries) scatter_entries;
decltype(finescale::add_in_steps) add_in_steps;
decltype(finescale::rmsnorm_forward) rmsnorm_forward;
decltype(finescale::rmsnorm_backward) rmsnorm_backward;
decltype(finescale::layernorm_forward) layernorm_forward;
decltype(finescale::layernorm_backward) layernorm_backward;
decltype(finescale::head_norm_forward) head_norm_forward;
decltype(finescale::head_norm_backward) head_norm_backward;
decltype(finescale::bias_add) bias_add;
decltype(finescale::bias_gradient) bias_gradient;
decltype(finescale::affine_in_place) affine_in_place;
decltype(finescale::scale_columns) scale_columns;
decltype(finescale::add_scaled_columns) add_scaled_columns;
decltype(finescale::scale_columns_gradient) scale_columns_gradient;
decltype(finescale::scale_row_steps) scale_row_steps;
decltype(finescale::gelu_forward) gelu_forward;
decltype(finescale::gelu_backward) gelu_backward;
decltype(finescale::geglu_forward) geglu_forward;
decltype(finescale::geglu_backward) geglu_backward;
decltype(finescale::rope_apply) rope_apply;
decltype(finescale::swiglu_forward) swiglu_forward;
decltype(finescale::swiglu_backward) swiglu_backward;
decltype(finescale::embedding_forward) embedding_forward;
decltype(finescale::embedding_backward) embedding_backward;
decltype(finescale::embedding_gather_gradient) embedding_gather_gradient;
decltype(finescale::add_rows) add_rows;
decltype(finescale::attention_forward) attention_forward;
decltype(finescale::attention_backward) attention_backward;
decltype(finescale::attention_backward_given) attention_backward_given;
decltype(finescale::attention_delta) attention_delta;
decltype(finescale::prefix_attention_forward) prefix_attention_forward;
decltype(finescale::prefix_attention_backward) prefix_attention_backward;
decltype(finescale::cache_store) cache_store;
decltype(finescale::cached_attention) cached_attention;
decltype(finescale::linear_cross_entropy) linear_cross_entropy;
decltype(finescale::cross_entropy_in_place) cross_entropy_in_place;
decltype(finescale::cross_entropy_statistics) cross_entropy_statistics;
decltype(finescale::cross_entropy_combine) cross_entropy_combine;
decltype(finescale::cross_entropy_finish) cross_entropy_finish;
decltype(finescale::divergence_statistics) divergence_statistics;
decltype(finescale::divergence_finish) divergence_finish;
decltype(finescale::scale_matrix) scale_matrix;
decltype(finescale::scale_matrix_gradient) scale_matrix_gradient;
decltype(finescale::adamw_update) adamw_update;
decltype(finescale::sgd_update) sgd_update;
decltype(finescale::lion_update) lion_update;
decltype(finescale::adamw_update_packed) adamw_update_packed;
decltype(finescale::expand_moments) expand_moments;
decltype(finescale::pack_moments) pack_moments;
decltype(finescale::squared_norm) squared_norm;
decltype(finescale::squared_norm_blocks) squared_norm_blocks;
decltype(finescale::sum) sum;
decltype(finescale::add_in_place) add_in_place;
decltype(finescale::axpy) axpy;
decltype(finescale::fill_zero) fill_zero;
decltype(finescale::copy) copy;
decltype(finescale::argmax_rows) argmax_rows;

}  // namespace finescale::cpu
