"""The long texts of ``pplc rule``: why a diagnostic exists, and the way out."""

from __future__ import annotations

FAMILIES = {
    "0": "layout and syntax. Reported with the place; several independent mistakes are reported in one run",
    "1": "names and scope",
    "2": "types and shapes",
    "3": "distributions, latents and observations",
    "4": "guards and boundaries",
    "5": "data. Exit code 3",
    "6": "what the language has and the compiler does not support yet: refused, never fitted wrongly",
    "7": "limits",
    "8": "inference and its files",
}

RULES = {
    "PPL001": (
        "A program is ASCII outside of comments, in UTF-8. The character here has no meaning in it; quotes,"
        " for example, do not, because there are no strings."
    ),
    "PPL002": (
        "The grammar allows something else here; the message lists what. A statement ends at a newline, `;`"
        " or `}`, so an expression that goes on must be in parentheses or end its line with an operator."
    ),
    "PPL003": (
        "A bracket or brace is open where the text ends, or is closed by another kind. The message points "
        "at the one that opens."
    ),
    "PPL004": "`=` assigns. To compare, write `==` (of ints or data), or `<` and `>`.",
    "PPL005": "This is Python. Blocks are in braces, `and or not` are words, and conditions need no colon.",
    "PPL006": "A number has digits on both sides of its point: `0.5`, not `.5`; `1.0e-3`, not `1.e-3`.",
    "PPL007": (
        "Statement keywords and `true false pi inf` cannot be names. Words that only Python or JAX reserve can."
    ),
    "PPL008": "Brackets, blocks and operators may be nested 200 deep. Give parts of the expression names.",
    "PPL009": "The last statement is not complete.",
    "PPL010": "Put the condition in parentheses, or look for a bracket that closes too early.",
    "PPL011": "This is how Stan, R or another language says it; the hint says how this one does.",
    "PPL012": "One line, one statement; two need a `;` between them.",
    "PPL101": (
        "Nothing of this name is declared before this place. Names of data, latents and variables share one"
        " space; functions and distributions have their own."
    ),
    "PPL102": "A name is declared once: rename one of the two.",
    "PPL103": "There is no such function in the language, the prelude, or what `use` imported.",
    "PPL104": "There is no such distribution; `docs/language.md` lists them with their arguments.",
    "PPL105": "Data, latents and loop variables keep their values. Assign to a variable of another name.",
    "PPL106": "Calls are inlined, so a function cannot call itself. Use a loop.",
    "PPL107": ("`use NAME` imports `NAME.ppl` beside the model or from the standard library, and exactly one of them."),
    "PPL108": (
        "On each path a name is sampled or assigned at most once as a site. In different branches of one "
        "`if` that is one site; one after the other it is two."
    ),
    "PPL109": "Some path reaches this place without a value. Assign it before the `if`, or in both branches.",
    "PPL112": "An argument is given by position or by one of its names, once.",
    "PPL202": "Arithmetic is elementwise on equal shapes, or with a scalar.",
    "PPL204": "A condition is a comparison or a bool; numbers do not count as true or false.",
    "PPL205": "Conditions are scalar. Decide element by element in a loop or a comprehension.",
    "PPL207": (
        "Sizes, loop bounds and indices that address latents come from data, literals and loop variables, "
        "so that shapes are known before anything is drawn."
    ),
    "PPL208": "Indices count from 0, and there are no negative ones.",
    "PPL209": (
        "A real that depends on a latent equals a number with probability zero, so such a branch is never "
        "taken, and no gradient sees it. Compare with a tolerance, `abs(a - b) < 0.1`, or use `<`."
    ),
    "PPL301": (
        "The argument lies outside what the distribution allows, whatever the latents: a standard deviation"
        " is positive, a probability in [0, 1]."
    ),
    "PPL302": (
        "A scalar latent is one quantity, a loop would draw it many times. Declare `var x: real[n]` and draw `x[i]`."
    ),
    "PPL303": (
        "In two branches one name is one site with one entry in the guide, so both must have one support "
        "and one shape. Use two names."
    ),
    "PPL304": "What is observed is data. For a density of something that depends on a latent, use `factor`.",
    "PPL306": "An element is filled once, before it is read.",
    "PPL307": (
        "The density is zero in a part of the space that the guide reaches, so the ELBO is minus infinity. "
        "A support must not move with a latent where data are observed."
    ),
    "PPL308": "The value observed has density zero under this distribution, whatever the latents.",
    "PPL310": (
        "A `guide` block gives every latent one place, and nothing else has a place in it: data and variables are no "
        "latents, and noise is drawn from its prior."
    ),
    "PPL311": (
        "The families are MeanField(), FullRank(), LowRank(rank), Chain() and Flow(), which may be laid over another "
        "one: Flow(FullRank()). Chain() is for arrays, along their first axis; discrete latents are independent of all "
        "others, so theirs is MeanField(). A rank is at least 1 and at most the number of coordinates of its latents. "
        "There is no guide that is a point: a boundary term is the density of the guide on the boundary, along a line, "
        "and a point has none."
    ),
    "PPL402": (
        "A boundary term needs a coordinate along which the guard's value moves. The one that is asked for here does "
        "not move it everywhere: data make its factor zero. Without `--line` all coordinates share such a guard."
    ),
    "PPL403": (
        "A branch that is unbounded at its own guard, such as `if x > 0 then log(x)`, breaks the boundary "
        "term. What it reaches takes the score estimator, which is unbiased and noisier. Where the data keep the guard "
        "from changing, as `paid + d > 0` with positive `paid` and d, the warning is withdrawn once they are bound."
    ),
    "PPL404": (
        "The inverse of a matrix jumps from one infinity to another where the determinant is zero, and there is no "
        "boundary term for that. It does not matter where the guide hardly reaches such matrices. Cholesky factors are "
        "known to be regular, and so are their products, transposes and inverses."
    ),
    "PPL406": (
        "`--line` and `lines=` name a guard by its line, and its column where there are several, and the latent along"
        " which its boundary is crossed, or the normal. `pplc explain` shows which lines each guard has."
    ),
    "PPL407": (
        "A real latent equals 0 with probability zero; a count, a discrete latent or a `floor` equals 0 more often. "
        "Then a quotient is infinite or no number, which a comparison or a `clamp` would hide. So it has to be certain "
        "that a divisor that whole numbers decide is not 0: by its support, by `max(n, 1)`, by a condition around it."
    ),
    "PPL501": "The program declares this data field without a default, and the data do not have it.",
    "PPL504": (
        "Data are finite numbers: NaN, Infinity and null are refused. For missing values pass a mask as "
        "data, and observe inside an `if` on it."
    ),
    "PPL506": "Two declarations share a size, and the data give it two values.",
    "PPL508": "A field that the program does not declare is ignored. A note, not an error.",
    "PPL604": ("A discrete latent is enumerated, so it needs a largest value; truncate it, `Poisson(2) in (0, 20)`."),
    "PPL605": (
        "Noise is drawn from a normal draw and moves with its arguments. This distribution has no explicit "
        "quantile function, so its arguments must be data."
    ),
    "PPL701": "More than 10^8 elements or iterations.",
    "PPL801": (
        "No gradient step is possible where the ELBO or its gradient is infinite or undefined. The line named has a "
        "density that is zero or undefined where the guide reaches, or a slope that is, as that of `sqrt` at 0. Exit "
        "code 4."
    ),
    "PPL802": (
        "The stop rule was not met, and --require-converged asks for an error then. The fit is printed and saved all"
        " the same, and says so. Exit code 4."
    ),
    "PPL803": (
        "The checkpoint belongs to another program, other data or other settings, or it cannot be read. Exit code 2."
    ),
    "PPL804": "The file is not a fit that `infer --out` saved, or it is damaged. Exit code 2.",
    "PPL806": (
        "`--init` takes a fit or draws of this program with data of this size, or values of all latents that exist with"
        " these values, by name, in their shapes, inside their supports. Exit code 2."
    ),
    "PPL807": (
        "A minibatch is a random subset of the iterations of a loop that adds observations or factors and hands "
        "nothing on: no carried state, no sums, no draws, no array that is read. `pplc explain` says of each loop "
        "whether it is one. Exit code 2."
    ),
    "PPL808": (
        "Starts and samples are shared evenly among devices, and among processes with as many devices each; all "
        "processes need the same program, data and options. Exit code 2."
    ),
    "PPL809": (
        "A process of a fit that several make has failed, was interrupted, cannot be reached or never came (see "
        "--join-timeout); the others cannot go on without it. What it said is on its own stderr. With a checkpoint, "
        "start all again with --resume. Exit code 4."
    ),
    "PPL811": (
        "A replicate is a draw from the distribution of an `observe`. There is none where one element is observed "
        "twice on one path: then two statements would each give it a value. Nor where the distribution has no "
        "sampler, a function NAME_rng beside NAME_lpdf: then a warning says so, and all else is drawn, with the log "
        "likelihoods of every observation."
    ),
    "PPL812": (
        "The program reads a field that it also observes, as an autoregression does. Its replicates are "
        "drawn given the values in the data, one element at a time: predictions of each, not a new data "
        "set."
    ),
    "PPL813": (
        "A latent is drawn from a distribution of which the program has a density alone, NAME_lpdf: it says how "
        "probable values are and not how to draw them. So there are no draws from the prior, no `--method smc`, which "
        "starts from them, and no probabilities of conditions under the prior. A function NAME_rng beside it says how "
        "to draw. Fits and `--method nuts` need none."
    ),
    "PPL814": (
        "Whole numbers have 32 bits where --precision is 32, and end at 2147483647. These data have larger ones, or "
        "make them, as `population[i] * cases[i]` does, or latents may: "
        "a sum, a product, the floor of a time. With --precision 64 they fit (from Python, "
        "`jax.config.update('jax_enable_x64', True)` before anything else); so do reals, at either precision: declare "
        "`data population: real[n]`."
    ),
    "PPL821": (
        "Samplers move along gradients. Discrete latents are summed out where they have at most 256 "
        "combinations of outcomes; noise that is drawn as it is cannot be moved. Fit the program instead: "
        "`pplc infer` without --method."
    ),
    "PPL822": (
        "No chain could start at a draw from the prior, a chain never moved, or the particles did not "
        "arrive at the posterior. A density may be zero, or undefined, where the prior reaches. Exit code "
        "4."
    ),
}
