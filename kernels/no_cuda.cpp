// SPDX-License-Identifier: Apache-2.0
// What a build without CUDA has in the place of kernels/cuda. There is no stream of a GPU either
// (core/no_gpu.cpp), so nobody gets here.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/dispatch.h"

namespace finescale::cuda {

void gemm(const Stream& /*stream*/, Transpose /*transpose_a*/, Transpose /*transpose_b*/,
          double /*alpha*/, const TensorView& /*a*/, const TensorView& /*b*/, double /*beta*/,
          const TensorView& /*c*/) {
  no_kernel("gemm");
}
void row_gemm(const Stream& /*stream*/, double /*alpha*/, const TensorView& /*x*/,
              const TensorView& /*w*/, double /*beta*/, const TensorView& /*y*/) {
  no_kernel("row_gemm");
}
void round_to_bf16(const Stream& /*stream*/, const TensorView& /*x*/,
                   const TensorView& /*rounded*/) {
  no_kernel("round_to_bf16");
}
void dequantise(const Stream& /*stream*/, const QuantisedMatrix& /*matrix*/, std::int64_t /*row*/,
                std::int64_t /*column*/, const TensorView& /*out*/) {
  no_kernel("dequantise");
}
void keep_operand(const Stream& /*stream*/, const TensorView& /*matrix*/) {
  no_kernel("keep_operand");
}
void forget_operand(const Stream& /*stream*/, const TensorView& /*matrix*/) noexcept {}
void rmsnorm_forward(const Stream& /*stream*/, const TensorView& /*x*/,
                     const TensorView& /*residual*/, const TensorView& /*weight*/, double /*eps*/,
                     const TensorView& /*y*/, const TensorView& /*rstd*/) {
  no_kernel("rmsnorm_forward");
}
void rmsnorm_backward(const Stream& /*stream*/, const TensorView& /*dy*/, const TensorView& /*x*/,
                      const TensorView& /*weight*/, const TensorView& /*rstd*/,
                      const TensorView& /*dx*/, const TensorView& /*dweight*/) {
  no_kernel("rmsnorm_backward");
}
void layernorm_forward(const Stream& /*stream*/, const TensorView& /*x*/,
                       const TensorView& /*residual*/, const TensorView& /*weight*/,
                       const TensorView& /*bias*/, double /*eps*/, const TensorView& /*y*/,
                       const TensorView& /*statistics*/) {
  no_kernel("layernorm_forward");
}
void layernorm_backward(const Stream& /*stream*/, const TensorView& /*dy*/, const TensorView& /*x*/,
                        const TensorView& /*weight*/, const TensorView& /*statistics*/,
                        const TensorView& /*dx*/, const TensorView& /*dweight*/) {
  no_kernel("layernorm_backward");
}
void head_norm_forward(const Stream& /*stream*/, const TensorView& /*x*/,
                       const TensorView& /*weight*/, double /*eps*/, const TensorView& /*y*/,
                       const TensorView& /*rstd*/) {
  no_kernel("head_norm_forward");
}
void head_norm_backward(const Stream& /*stream*/, const TensorView& /*dy*/, const TensorView& /*x*/,
                        const TensorView& /*weight*/, const TensorView& /*rstd*/,
                        const TensorView& /*dx*/, const TensorView& /*dweight*/) {
  no_kernel("head_norm_backward");
}
void bias_add(const Stream& /*stream*/, const TensorView& /*bias*/, const TensorView& /*y*/) {
  no_kernel("bias_add");
}
void bias_gradient(const Stream& /*stream*/, const TensorView& /*dy*/,
                   const TensorView& /*dbias*/) {
  no_kernel("bias_gradient");
}
void affine_in_place(const Stream& /*stream*/, double /*factor*/, double /*addend*/,
                     const TensorView& /*x*/) {
  no_kernel("affine_in_place");
}
void gelu_forward(const Stream& /*stream*/, Gelu /*kind*/, const TensorView& /*x*/,
                  const TensorView& /*y*/) {
  no_kernel("gelu_forward");
}
void gelu_backward(const Stream& /*stream*/, Gelu /*kind*/, const TensorView& /*dy*/,
                   const TensorView& /*x*/, const TensorView& /*dx*/) {
  no_kernel("gelu_backward");
}
void geglu_forward(const Stream& /*stream*/, Gelu /*kind*/, const TensorView& /*gate_up*/,
                   const TensorView& /*y*/) {
  no_kernel("geglu_forward");
}
void geglu_backward(const Stream& /*stream*/, Gelu /*kind*/, const TensorView& /*dy*/,
                    const TensorView& /*gate_up*/, const TensorView& /*dgate_up*/) {
  no_kernel("geglu_backward");
}
void rope_apply(const Stream& /*stream*/, const TensorView& /*x*/, std::int64_t /*head_dim*/,
                const TensorView& /*positions*/, const TensorView& /*cos*/,
                const TensorView& /*sin*/, bool /*inverse*/) {
  no_kernel("rope_apply");
}
void swiglu_forward(const Stream& /*stream*/, const TensorView& /*gate_up*/,
                    const TensorView& /*y*/) {
  no_kernel("swiglu_forward");
}
void swiglu_backward(const Stream& /*stream*/, const TensorView& /*dy*/,
                     const TensorView& /*gate_up*/, const TensorView& /*dgate_up*/,
                     const TensorView& /*y*/) {
  no_kernel("swiglu_backward");
}
void embedding_forward(const Stream& /*stream*/, const TensorView& /*tokens*/,
                       const TensorView& /*weight*/, const TensorView& /*y*/) {
  no_kernel("embedding_forward");
}
void embedding_backward(const Stream& /*stream*/, const TensorView& /*tokens*/,
                        const TensorView& /*dy*/, const TensorView& /*to*/) {
  no_kernel("embedding_backward");
}
std::int64_t embedding_gather_gradient(const Stream& /*stream*/, const TensorView& /*tokens*/,
                                       const TensorView& /*dy*/, const TensorView& /*ids*/,
                                       const TensorView& /*rows*/) {
  no_kernel("embedding_gather_gradient");
}
void add_rows(const Stream& /*stream*/, const TensorView& /*ids*/, const TensorView& /*rows*/,
              const TensorView& /*to*/) {
  no_kernel("add_rows");
}
void attention_forward(const Stream& /*stream*/, const AttentionShape& /*shape*/,
                       const TensorView& /*q*/, const TensorView& /*k*/, const TensorView& /*v*/,
                       std::span<const std::int32_t> /*segments*/, const TensorView& /*out*/,
                       const TensorView& /*lse*/, const TensorView& /*on_device*/) {
  no_kernel("attention_forward");
}
void attention_backward(const Stream& /*stream*/, const AttentionShape& /*shape*/,
                        const TensorView& /*dout*/, const TensorView& /*q*/,
                        const TensorView& /*k*/, const TensorView& /*v*/, const TensorView& /*out*/,
                        const TensorView& /*lse*/, std::span<const std::int32_t> /*segments*/,
                        const TensorView& /*dq*/, const TensorView& /*dk*/,
                        const TensorView& /*dv*/, const TensorView& /*on_device*/) {
  no_kernel("attention_backward");
}
void cache_store(const Stream& /*stream*/, const AttentionShape& /*shape*/, const TensorView& /*k*/,
                 const TensorView& /*v*/, std::span<const CachedToken> /*tokens*/,
                 std::int64_t /*offset*/, const CachedToken* /*on_device*/) {
  no_kernel("cache_store");
}
void cached_attention(const Stream& /*stream*/, const AttentionShape& /*shape*/,
                      const TensorView& /*q*/, std::span<const CachedToken> /*tokens*/,
                      std::int64_t /*offset*/, const TensorView& /*out*/,
                      const CachedToken* /*on_device*/) {
  no_kernel("cached_attention");
}
void linear_cross_entropy(const Stream& /*stream*/, const TensorView& /*x*/,
                          const TensorView& /*weight*/, const TensorView& /*labels*/,
                          const TensorView& /*weights*/, double /*scale*/,
                          const TensorView& /*losses*/, const TensorView& /*dx*/,
                          const TensorView& /*dweight*/, const TensorView& /*gathered*/,
                          const TensorView& /*scratch*/, const VocabularyPart* /*part*/,
                          const HeadBias* /*bias*/, const TeacherRows* /*teacher*/) {
  no_kernel("linear_cross_entropy");
}
void cross_entropy_in_place(const Stream& /*stream*/, const TensorView& /*logits*/,
                            const TensorView& /*labels*/, const TensorView& /*weights*/,
                            double /*scale*/, const TensorView& /*losses*/,
                            const TensorView& /*gradient*/) {
  no_kernel("cross_entropy_in_place");
}
void cross_entropy_statistics(const Stream& /*stream*/, const TensorView& /*logits*/,
                              const TensorView& /*labels*/, const TensorView& /*statistics*/,
                              bool /*want_gradient*/) {
  no_kernel("cross_entropy_statistics");
}
void cross_entropy_combine(const Stream& /*stream*/, const TensorView& /*parts*/,
                           const TensorView& /*whole*/) {
  no_kernel("cross_entropy_combine");
}
void cross_entropy_finish(const Stream& /*stream*/, const TensorView& /*logits*/,
                          const TensorView& /*labels*/, const TensorView& /*weights*/,
                          double /*scale*/, const TensorView& /*own*/, const TensorView& /*whole*/,
                          const TensorView& /*losses*/, const TensorView& /*gradient*/) {
  no_kernel("cross_entropy_finish");
}
void adamw_update(const Stream& /*stream*/, const AdamwStep& /*step*/, const TensorView& /*weight*/,
                  const TensorView& /*gradient*/, const TensorView& /*m*/,
                  const TensorView& /*v*/) {
  no_kernel("adamw_update");
}
void adamw_update_packed(const Stream& /*stream*/, const AdamwStep& /*step*/,
                         const TensorView& /*weight*/, const TensorView& /*gradient*/,
                         const PackedMoments& /*moments*/) {
  no_kernel("adamw_update_packed");
}
void lion_update(const Stream& /*stream*/, const LionStep& /*step*/, const TensorView& /*weight*/,
                 const TensorView& /*gradient*/, const TensorView& /*m*/) {
  no_kernel("lion_update");
}
void sgd_update(const Stream& /*stream*/, const SgdStep& /*step*/, const TensorView& /*weight*/,
                const TensorView& /*gradient*/, const TensorView& /*m*/) {
  no_kernel("sgd_update");
}
double squared_norm(const Stream& /*stream*/, const TensorView& /*x*/) {
  no_kernel("squared_norm");
}
void squared_norm_blocks(const Stream& /*stream*/, const TensorView& /*x*/, ExactSum& /*total*/) {
  no_kernel("squared_norm_blocks");
}
void add_squares(const Stream& /*stream*/, const TensorView& /*x*/, const TensorView& /*words*/) {
  no_kernel("add_squares");
}
void sum_words(const Stream& /*stream*/, const TensorView& /*words*/, const TensorView& /*total*/) {
  no_kernel("sum_words");
}
void root_of_words(const Stream& /*stream*/, const TensorView& /*words*/,
                   const TensorView& /*norm*/) {
  no_kernel("root_of_words");
}
void clip_factors(const Stream& /*stream*/, const TensorView& /*norm*/, double /*max_norm*/,
                  DType /*dtype*/, void* /*rows*/, std::int64_t /*count*/) {
  no_kernel("clip_factors");
}
double sum(const Stream& /*stream*/, const TensorView& /*x*/) {
  no_kernel("sum");
}
void add_in_place(const Stream& /*stream*/, const TensorView& /*x*/, const TensorView& /*y*/) {
  no_kernel("add_in_place");
}
void axpy(const Stream& /*stream*/, double /*alpha*/, const TensorView& /*x*/,
          const TensorView& /*y*/) {
  no_kernel("axpy");
}
void fill_zero(const Stream& /*stream*/, const TensorView& /*x*/) {
  no_kernel("fill_zero");
}
void copy(const Stream& /*stream*/, const TensorView& /*from*/, const TensorView& /*to*/) {
  no_kernel("copy");
}
void argmax_rows(const Stream& /*stream*/, const TensorView& /*logits*/,
                 const TensorView& /*indices*/) {
  no_kernel("argmax_rows");
}
void sample_rows(const Stream& /*stream*/, const SamplingOptions& /*options*/,
                 const TensorView& /*logits*/, const SeenTokens& /*seen*/,
                 const TensorView& /*uniforms*/, const TensorView& /*tokens*/) {
  no_kernel("sample_rows");
}

}  // namespace finescale::cuda
