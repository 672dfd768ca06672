// Processing element of convolutions: multiply and accumulate.
//
// Every clock takes one pair of operands, both in two's complement. `first` marks the first pair of a sum. The product
// stands in a register of its own before it is accumulated: with product and sum in one expression a synthesiser may
// widen the multiplier to the width of the sum. So `sum` holds a pair two clock edges after it was presented.
//
// SUM_WIDTH = 2 WIDTH + g bits hold every sum of fewer than 2^g products.
module pe_multiply #(
    parameter WIDTH = 8,
    parameter SUM_WIDTH = 28
) (
    input clock,
    input first,
    input signed [WIDTH-1:0] x,
    input signed [WIDTH-1:0] w,
    output reg signed [SUM_WIDTH-1:0] sum
);
    reg signed [2*WIDTH-1:0] product;
    reg restart;

    always @(posedge clock) begin
        product <= x * w;
        restart <= first;
        sum <= (restart ? {SUM_WIDTH{1'b0}} : sum) + {{(SUM_WIDTH-2*WIDTH){product[2*WIDTH-1]}}, product};
    end
endmodule
