// SPDX-License-Identifier: Apache-2.0
// The CUDA twins: same argument lists as the operations of kernels/*.h, found by the dispatchers.
// Every TensorView lies in the memory of the stream's GPU unless the operation says otherwise;
// everything is enqueued on the stream, and what returns a number waits for it. A build without
// CUDA has no_cuda.cpp instead.
#pragma once

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gelu.h"
#include "kernels/gemm.h"
#include "kernels/gradient_norm.h"
#include "kernels/head_norm.h"
#include "kernels/layernorm.h"
#include "kernels/lion.h"
#include "kernels/packed_moments.h"
#include "kernels/quantised.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/round.h"
#include "kernels/row_gemm.h"
#include "kernels/sampling.h"
#include "kernels/sgd.h"
#include "kernels/swiglu.h"

namespace finescale::cuda {

decltype(finescale::gemm) gemm;
decltype(finescale::row_gemm) row_gemm;
// Of a SharedOperand.
void keep_operand(const Stream& stream, const TensorView& matrix);
void forget_operand(const Stream& stream, const TensorView& matrix) noexcept;
decltype(finescale::rmsnorm_forward) rmsnorm_forward;
decltype(finescale::rmsnorm_backward) rmsnorm_backward;
decltype(finescale::layernorm_forward) layernorm_forward;
decltype(finescale::layernorm_backward) layernorm_backward;
decltype(finescale::head_norm_forward) head_norm_forward;
decltype(finescale::head_norm_backward) head_norm_backward;
decltype(finescale::bias_add) bias_add;
decltype(finescale::bias_gradient) bias_gradient;
decltype(finescale::affine_in_place) affine_in_place;
decltype(finescale::gelu_forward) gelu_forward;
decltype(finescale::gelu_backward) gelu_backward;
decltype(finescale::geglu_forward) geglu_forward;
decltype(finescale::geglu_backward) geglu_backward;
decltype(finescale::rope_apply) rope_apply;
decltype(finescale::round_to_bf16) round_to_bf16;
decltype(finescale::dequantise) dequantise;
decltype(finescale::swiglu_forward) swiglu_forward;
decltype(finescale::swiglu_backward) swiglu_backward;
decltype(finescale::embedding_forward) embedding_forward;
decltype(finescale::embedding_backward) embedding_backward;
decltype(finescale::embedding_gather_gradient) embedding_gather_gradient;
decltype(finescale::add_rows) add_rows;
decltype(finescale::attention_forward) attention_forward;
decltype(finescale::attention_backward) attention_backward;
decltype(finescale::cache_store) cache_store;
decltype(finescale::cached_attention) cached_attention;
decltype(finescale::linear_cross_entropy) linear_cross_entropy;
decltype(finescale::cross_entropy_in_place) cross_entropy_in_place;
decltype(finescale::cross_entropy_statistics) cross_entropy_statistics;
decltype(finescale::cross_entropy_combine) cross_entropy_combine;
decltype(finescale::cross_entropy_finish) cross_entropy_finish;
decltype(finescale::adamw_update) adamw_update;
decltype(finescale::adamw_update_packed) adamw_update_packed;
decltype(finescale::lion_update) lion_update;
decltype(finescale::sgd_update) sgd_update;
decltype(finescale::squared_norm) squared_norm;
decltype(finescale::squared_norm_blocks) squared_norm_blocks;
decltype(finescale::add_squares) add_squares;
decltype(finescale::sum_words) sum_words;
decltype(finescale::root_of_words) root_of_words;
decltype(finescale::clip_factors) clip_factors;
decltype(finescale::sum) sum;
decltype(finescale::add_in_place) add_in_place;
decltype(finescale::axpy) axpy;
decltype(finescale::fill_zero) fill_zero;
decltype(finescale::copy) copy;
decltype(finescale::argmax_rows) argmax_rows;
decltype(finescale::sample_rows) sample_rows;

}  // namespace finescale::cuda
