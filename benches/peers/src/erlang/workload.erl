%% The workload of `workload.rs` on Erlang's own processes, names and distribution.
%%
%% `far` waits for the near node to ask; `near` runs one trial, prints what it measured, one `name value` a line, and
%% ends. Bodies are binaries as long as those of the other systems, and numbered where theirs are.
-module(workload).
-export([far/0, near/1, echo/1, sink/3, nothing/0]).

-define(PAYLOAD, 64).
-define(BULK, 1048576).
-define(FLOOD_SENDERS, 4).
-define(NAMES_MAX, 4096).
%% How long a flood may take to arrive once its senders stopped.
-define(DRAIN_MS, 2000).

%% The far node: it starts what it is asked for, and says what its sinks have counted.
far() ->
    register(control, self()),
    Received = counters:new(?FLOOD_SENDERS, [write_concurrency]),
    Late = counters:new(?FLOOD_SENDERS, [write_concurrency]),
    far_loop(Received, Late).

far_loop(Received, Late) ->
    receive
        {From, {echo, Count}} ->
            [register(name("echo", I), spawn(?MODULE, echo, [name("client", I)])) || I <- lists:seq(1, Count)],
            From ! done;
        {From, {sink, Count}} ->
            [register(name("sink", I), spawn(?MODULE, sink, [I, Received, Late])) || I <- lists:seq(1, Count)],
            From ! done;
        {From, mark} ->
            From ! {mark, erlang:monotonic_time(nanosecond), total(Received), total(Late), rss_peak_kib()}
    end,
    far_loop(Received, Late).

echo(Client) ->
    Near = list_to_atom(os:getenv("PEERS_NEAR")),
    echo_loop({Client, Near}).

echo_loop(To) ->
    receive Body -> To ! Body end,
    echo_loop(To).

sink(Index, Received, Late) ->
    sink_loop(0, Index, Received, Late).

sink_loop(Next, Index, Received, Late) ->
    Sequence = receive
        <<S:64/little, _/binary>> -> S;
        {S, _Body} -> S
    end,
    Sequence < Next andalso counters:add(Late, Index, 1),
    counters:add(Received, Index, 1),
    sink_loop(max(Next, Sequence + 1), Index, Received, Late).

nothing() -> ok.

%% The near node: [Far, Probe, InFlight, WarmUpMs, WindowMs].
near([Far, Probe, InFlight, WarmUp, Window]) ->
    connected(Far, 200),
    run(Probe, Far, InFlight, WarmUp, Window),
    halt(0).

connected(_Far, 0) -> exit(no_link);
connected(Far, Tries) ->
    case net_kernel:connect_node(Far) of
        true -> wait_control(Far, 200);
        _ -> timer:sleep(20), connected(Far, Tries - 1)
    end.

wait_control(_Far, 0) -> exit(no_control);
wait_control(Far, Tries) ->
    case rpc:call(Far, erlang, whereis, [control]) of
        Pid when is_pid(Pid) -> ok;
        _ -> timer:sleep(20), wait_control(Far, Tries - 1)
    end.

run(round_trip, Far, _, WarmUp, Window) ->
    ask(Far, {echo, 1}),
    register(name("client", 1), self()),
    Body = body(?PAYLOAD),
    Trip = fun() -> {name("echo", 1), Far} ! Body, receive <<_:?PAYLOAD/binary>> -> ok end end,
    samples(Trip, WarmUp, Window);
run(spawn, Far, _, WarmUp, Window) ->
    samples(fun() -> true = is_pid(spawn(Far, ?MODULE, nothing, [])) end, WarmUp, Window);
run(saturation, Far, InFlight, WarmUp, Window) ->
    ask(Far, {echo, InFlight}),
    Done = counters:new(InFlight, [write_concurrency]),
    Body = body(?PAYLOAD),
    [register(name("client", I), spawn(fun() ->
        receive go -> ok end,
        client({name("echo", I), Far}, Body, Done, I) end)) || I <- lists:seq(1, InFlight)],
    [name("client", I) ! go || I <- lists:seq(1, InFlight)],
    timer:sleep(WarmUp),
    {Before, Begin} = {total(Done), erlang:monotonic_time(nanosecond)},
    timer:sleep(Window),
    {After, End} = {total(Done), erlang:monotonic_time(nanosecond)},
    figure("round_trips", After - Before),
    figure("ns", End - Begin);
run(flood, Far, _, WarmUp, Window) ->
    Rest = body(?PAYLOAD - 8),
    flood(fun(S) -> <<S:64/little, Rest/binary>> end, Far, WarmUp, Window);
run(bulk, Far, _, WarmUp, Window) ->
    Body = body(?BULK),
    flood(fun(S) -> {S, Body} end, Far, WarmUp, Window).

client(To, Body, Done, Index) ->
    To ! Body,
    receive <<_:?PAYLOAD/binary>> -> counters:add(Done, Index, 1) end,
    client(To, Body, Done, Index).

flood(Numbered, Far, WarmUp, Window) ->
    ask(Far, {sink, ?FLOOD_SENDERS}),
    Sent = counters:new(?FLOOD_SENDERS, [write_concurrency]),
    Stop = counters:new(1, []),
    [spawn(fun() -> sender({name("sink", I), Far}, Numbered, 0, Sent, Stop, I) end)
     || I <- lists:seq(1, ?FLOOD_SENDERS)],
    timer:sleep(WarmUp),
    {mark, Begin, Before, LateBefore, _} = ask(Far, mark),
    timer:sleep(Window),
    {mark, End, After, LateAfter, _} = ask(Far, mark),
    Backlog = total(Sent) - After,
    counters:add(Stop, 1, 1),
    {Last, Rss} = drained(Far, Sent, -1, erlang:monotonic_time(millisecond)),
    figure("received", After - Before),
    figure("late", LateAfter - LateBefore),
    figure("ns", End - Begin),
    figure("backlog", max(0, Backlog)),
    figure("sent", total(Sent)),
    figure("arrived", Last),
    figure("rss_peak_kib", max(Rss, rss_peak_kib())).

sender(To, Numbered, Sequence, Sent, Stop, Index) ->
    To ! Numbered(Sequence),
    counters:add(Sent, Index, 1),
    case counters:get(Stop, 1) of
        0 -> sender(To, Numbered, Sequence + 1, Sent, Stop, Index);
        _ -> ok
    end.

drained(Far, Sent, Seen, Since) ->
    {mark, _, Received, _, Rss} = ask(Far, mark),
    Now = erlang:monotonic_time(millisecond),
    Progress = case Received > Seen of true -> Now; false -> Since end,
    case Received >= total(Sent) orelse Now - Progress > ?DRAIN_MS of
        true -> {Received, Rss};
        false -> timer:sleep(10), drained(Far, Sent, Received, Progress)
    end.

%% Runs `Act` again and again; the times of those that begin after the warm-up are printed.
samples(Act, WarmUp, Window) ->
    Begin = erlang:monotonic_time(nanosecond),
    From = Begin + WarmUp * 1000000,
    {Cpu, _} = statistics(runtime),
    Times = samples(Act, From, From + Window * 1000000, []),
    {CpuThen, _} = statistics(runtime),
    figure("cpu_ns", (CpuThen - Cpu) * 1000000),
    figure("ns", erlang:monotonic_time(nanosecond) - Begin),
    [figure("sample", Time) || Time <- Times].

samples(Act, From, Until, Times) ->
    case erlang:monotonic_time(nanosecond) of
        Sent when Sent >= Until -> Times;
        Sent ->
            Act(),
            Took = erlang:monotonic_time(nanosecond) - Sent,
            samples(Act, From, Until, if Sent >= From -> [Took | Times]; true -> Times end)
    end.

ask(Far, What) ->
    {control, Far} ! {self(), What},
    receive
        done -> done;
        Mark when element(1, Mark) =:= mark -> Mark
    after 5000 -> exit({no_answer, What})
    end.

total(Counters) ->
    #{size := Size} = counters:info(Counters),
    lists:sum([counters:get(Counters, I) || I <- lists:seq(1, Size)]).

rss_peak_kib() ->
    {ok, Status} = file:read_file("/proc/self/status"),
    {match, [Kib]} = re:run(Status, "VmHWM:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Kib).

body(Bytes) -> binary:copy(<<7>>, Bytes).

name(Kind, Index) when Index =< ?NAMES_MAX ->
    list_to_atom(Kind ++ "-" ++ integer_to_list(Index)).

figure(Name, Value) -> io:format("~s ~b~n", [Name, Value]).
