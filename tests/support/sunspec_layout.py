"""Every point of the models that the simulated site has, in their order and with their types.

Independent of the table that the product ships: no register numbers stand here, they follow from the sizes.
Source: SunSpec Alliance, https://github.com/sunspec/models (json/), commit 7abdf8982d53, Apache License 2.0.
"""

# name type [scale factor], separated by commas
POINTS = {
    1: """
ID uint16, L uint16, Mn string16, Md string16, Opt string8, Vr string8, SN string16, DA uint16, Pad pad
""",
    101: """
ID uint16, L uint16, A uint16 A_SF, AphA uint16 A_SF, AphB uint16 A_SF, AphC uint16 A_SF, A_SF sunssf,
PPVphAB uint16 V_SF, PPVphBC uint16 V_SF, PPVphCA uint16 V_SF, PhVphA uint16 V_SF, PhVphB uint16 V_SF,
PhVphC uint16 V_SF, V_SF sunssf, W int16 W_SF, W_SF sunssf, Hz uint16 Hz_SF, Hz_SF sunssf, VA int16 VA_SF,
VA_SF sunssf, VAr int16 VAr_SF, VAr_SF sunssf, PF int16 PF_SF, PF_SF sunssf, WH acc32 WH_SF, WH_SF sunssf,
DCA uint16 DCA_SF, DCA_SF sunssf, DCV uint16 DCV_SF, DCV_SF sunssf, DCW int16 DCW_SF, DCW_SF sunssf,
TmpCab int16 Tmp_SF, TmpSnk int16 Tmp_SF, TmpTrns int16 Tmp_SF, TmpOt int16 Tmp_SF, Tmp_SF sunssf, St
enum16, StVnd enum16, Evt1 bitfield32, Evt2 bitfield32, EvtVnd1 bitfield32, EvtVnd2 bitfield32, EvtVnd3
bitfield32, EvtVnd4 bitfield32
""",
    103: """
ID uint16, L uint16, A uint16 A_SF, AphA uint16 A_SF, AphB uint16 A_SF, AphC uint16 A_SF, A_SF sunssf,
PPVphAB uint16 V_SF, PPVphBC uint16 V_SF, PPVphCA uint16 V_SF, PhVphA uint16 V_SF, PhVphB uint16 V_SF,
PhVphC uint16 V_SF, V_SF sunssf, W int16 W_SF, W_SF sunssf, Hz uint16 Hz_SF, Hz_SF sunssf, VA int16 VA_SF,
VA_SF sunssf, VAr int16 VAr_SF, VAr_SF sunssf, PF int16 PF_SF, PF_SF sunssf, WH acc32 WH_SF, WH_SF sunssf,
DCA uint16 DCA_SF, DCA_SF sunssf, DCV uint16 DCV_SF, DCV_SF sunssf, DCW int16 DCW_SF, DCW_SF sunssf,
TmpCab int16 Tmp_SF, TmpSnk int16 Tmp_SF, TmpTrns int16 Tmp_SF, TmpOt int16 Tmp_SF, Tmp_SF sunssf, St
enum16, StVnd enum16, Evt1 bitfield32, Evt2 bitfield32, EvtVnd1 bitfield32, EvtVnd2 bitfield32, EvtVnd3
bitfield32, EvtVnd4 bitfield32
""",
    113: """
ID uint16, L uint16, A float32, AphA float32, AphB float32, AphC float32, PPVphAB float32, PPVphBC
float32, PPVphCA float32, PhVphA float32, PhVphB float32, PhVphC float32, W float32, Hz float32, VA
float32, VAr float32, PF float32, WH float32, DCA float32, DCV float32, DCW float32, TmpCab float32,
TmpSnk float32, TmpTrns float32, TmpOt float32, St enum16, StVnd enum16, Evt1 bitfield32, Evt2 bitfield32,
EvtVnd1 bitfield32, EvtVnd2 bitfield32, EvtVnd3 bitfield32, EvtVnd4 bitfield32
""",
    120: """
ID uint16, L uint16, DERTyp enum16, WRtg uint16 WRtg_SF, WRtg_SF sunssf, VARtg uint16 VARtg_SF, VARtg_SF
sunssf, VArRtgQ1 int16 VArRtg_SF, VArRtgQ2 int16 VArRtg_SF, VArRtgQ3 int16 VArRtg_SF, VArRtgQ4 int16
VArRtg_SF, VArRtg_SF sunssf, ARtg uint16 ARtg_SF, ARtg_SF sunssf, PFRtgQ1 int16 PFRtg_SF, PFRtgQ2 int16
PFRtg_SF, PFRtgQ3 int16 PFRtg_SF, PFRtgQ4 int16 PFRtg_SF, PFRtg_SF sunssf, WHRtg uint16 WHRtg_SF, WHRtg_SF
sunssf, AhrRtg uint16 AhrRtg_SF, AhrRtg_SF sunssf, MaxChaRte uint16 MaxChaRte_SF, MaxChaRte_SF sunssf,
MaxDisChaRte uint16 MaxDisChaRte_SF, MaxDisChaRte_SF sunssf, Pad pad
""",
    121: """
ID uint16, L uint16, WMax uint16 WMax_SF, VRef uint16 VRef_SF, VRefOfs int16 VRefOfs_SF, VMax uint16
VMinMax_SF, VMin uint16 VMinMax_SF, VAMax uint16 VAMax_SF, VArMaxQ1 int16 VArMax_SF, VArMaxQ2 int16
VArMax_SF, VArMaxQ3 int16 VArMax_SF, VArMaxQ4 int16 VArMax_SF, WGra uint16 WGra_SF, PFMinQ1 int16
PFMin_SF, PFMinQ2 int16 PFMin_SF, PFMinQ3 int16 PFMin_SF, PFMinQ4 int16 PFMin_SF, VArAct enum16, ClcTotVA
enum16, MaxRmpRte uint16 MaxRmpRte_SF, ECPNomHz uint16 ECPNomHz_SF, ConnPh enum16, WMax_SF sunssf, VRef_SF
sunssf, VRefOfs_SF sunssf, VMinMax_SF sunssf, VAMax_SF sunssf, VArMax_SF sunssf, WGra_SF sunssf, PFMin_SF
sunssf, MaxRmpRte_SF sunssf, ECPNomHz_SF sunssf
""",
    122: """
ID uint16, L uint16, PVConn bitfield16, StorConn bitfield16, ECPConn bitfield16, ActWh acc64, ActVAh
acc64, ActVArhQ1 acc64, ActVArhQ2 acc64, ActVArhQ3 acc64, ActVArhQ4 acc64, VArAval int16 VArAval_SF,
VArAval_SF sunssf, WAval uint16 WAval_SF, WAval_SF sunssf, StSetLimMsk bitfield32, StActCtl bitfield32,
TmSrc string4, Tms uint32, RtSt bitfield16, Ris uint16 Ris_SF, Ris_SF sunssf
""",
    123: """
ID uint16, L uint16, Conn_WinTms uint16, Conn_RvrtTms uint16, Conn enum16, WMaxLimPct uint16
WMaxLimPct_SF, WMaxLimPct_WinTms uint16, WMaxLimPct_RvrtTms uint16, WMaxLimPct_RmpTms uint16, WMaxLim_Ena
enum16, OutPFSet int16 OutPFSet_SF, OutPFSet_WinTms uint16, OutPFSet_RvrtTms uint16, OutPFSet_RmpTms
uint16, OutPFSet_Ena enum16, VArWMaxPct int16 VArPct_SF, VArMaxPct int16 VArPct_SF, VArAvalPct int16
VArPct_SF, VArPct_WinTms uint16, VArPct_RvrtTms uint16, VArPct_RmpTms uint16, VArPct_Mod enum16,
VArPct_Ena enum16, WMaxLimPct_SF sunssf, OutPFSet_SF sunssf, VArPct_SF sunssf
""",
    124: """
ID uint16, L uint16, WChaMax uint16 WChaMax_SF, WChaGra uint16 WChaDisChaGra_SF, WDisChaGra uint16
WChaDisChaGra_SF, StorCtl_Mod bitfield16, VAChaMax uint16 VAChaMax_SF, MinRsvPct uint16 MinRsvPct_SF,
ChaState uint16 ChaState_SF, StorAval uint16 StorAval_SF, InBatV uint16 InBatV_SF, ChaSt enum16, OutWRte
int16 InOutWRte_SF, InWRte int16 InOutWRte_SF, InOutWRte_WinTms uint16, InOutWRte_RvrtTms uint16,
InOutWRte_RmpTms uint16, ChaGriSet enum16, WChaMax_SF sunssf, WChaDisChaGra_SF sunssf, VAChaMax_SF sunssf,
MinRsvPct_SF sunssf, ChaState_SF sunssf, StorAval_SF sunssf, InBatV_SF sunssf, InOutWRte_SF sunssf
""",
    160: """
ID uint16, L uint16, DCA_SF sunssf, DCV_SF sunssf, DCW_SF sunssf, DCWH_SF sunssf, Evt bitfield32, N count,
TmsPer uint16
""",
    201: """
ID uint16, L uint16, A int16 A_SF, AphA int16 A_SF, AphB int16 A_SF, AphC int16 A_SF, A_SF sunssf, PhV
int16 V_SF, PhVphA int16 V_SF, PhVphB int16 V_SF, PhVphC int16 V_SF, PPV int16 V_SF, PPVphAB int16 V_SF,
PPVphBC int16 V_SF, PPVphCA int16 V_SF, V_SF sunssf, Hz int16 Hz_SF, Hz_SF sunssf, W int16 W_SF, WphA
int16 W_SF, WphB int16 W_SF, WphC int16 W_SF, W_SF sunssf, VA int16 VA_SF, VAphA int16 VA_SF, VAphB int16
VA_SF, VAphC int16 VA_SF, VA_SF sunssf, VAR int16 VAR_SF, VARphA int16 VAR_SF, VARphB int16 VAR_SF, VARphC
int16 VAR_SF, VAR_SF sunssf, PF int16 PF_SF, PFphA int16 PF_SF, PFphB int16 PF_SF, PFphC int16 PF_SF,
PF_SF sunssf, TotWhExp acc32 TotWh_SF, TotWhExpPhA acc32 TotWh_SF, TotWhExpPhB acc32 TotWh_SF, TotWhExpPhC
acc32 TotWh_SF, TotWhImp acc32 TotWh_SF, TotWhImpPhA acc32 TotWh_SF, TotWhImpPhB acc32 TotWh_SF,
TotWhImpPhC acc32 TotWh_SF, TotWh_SF sunssf, TotVAhExp acc32 TotVAh_SF, TotVAhExpPhA acc32 TotVAh_SF,
TotVAhExpPhB acc32 TotVAh_SF, TotVAhExpPhC acc32 TotVAh_SF, TotVAhImp acc32 TotVAh_SF, TotVAhImpPhA acc32
TotVAh_SF, TotVAhImpPhB acc32 TotVAh_SF, TotVAhImpPhC acc32 TotVAh_SF, TotVAh_SF sunssf, TotVArhImpQ1
acc32 TotVArh_SF, TotVArhImpQ1PhA acc32 TotVArh_SF, TotVArhImpQ1PhB acc32 TotVArh_SF, TotVArhImpQ1PhC
acc32 TotVArh_SF, TotVArhImpQ2 acc32 TotVArh_SF, TotVArhImpQ2PhA acc32 TotVArh_SF, TotVArhImpQ2PhB acc32
TotVArh_SF, TotVArhImpQ2PhC acc32 TotVArh_SF, TotVArhExpQ3 acc32 TotVArh_SF, TotVArhExpQ3PhA acc32
TotVArh_SF, TotVArhExpQ3PhB acc32 TotVArh_SF, TotVArhExpQ3PhC acc32 TotVArh_SF, TotVArhExpQ4 acc32
TotVArh_SF, TotVArhExpQ4PhA acc32 TotVArh_SF, TotVArhExpQ4PhB acc32 TotVArh_SF, TotVArhExpQ4PhC acc32
TotVArh_SF, TotVArh_SF sunssf, Evt bitfield32
""",
    203: """
ID uint16, L uint16, A int16 A_SF, AphA int16 A_SF, AphB int16 A_SF, AphC int16 A_SF, A_SF sunssf, PhV
int16 V_SF, PhVphA int16 V_SF, PhVphB int16 V_SF, PhVphC int16 V_SF, PPV int16 V_SF, PhVphAB int16 V_SF,
PhVphBC int16 V_SF, PhVphCA int16 V_SF, V_SF sunssf, Hz int16 Hz_SF, Hz_SF sunssf, W int16 W_SF, WphA
int16 W_SF, WphB int16 W_SF, WphC int16 W_SF, W_SF sunssf, VA int16 VA_SF, VAphA int16 VA_SF, VAphB int16
VA_SF, VAphC int16 VA_SF, VA_SF sunssf, VAR int16 VAR_SF, VARphA int16 VAR_SF, VARphB int16 VAR_SF, VARphC
int16 VAR_SF, VAR_SF sunssf, PF int16 PF_SF, PFphA int16 PF_SF, PFphB int16 PF_SF, PFphC int16 PF_SF,
PF_SF sunssf, TotWhExp acc32 TotWh_SF, TotWhExpPhA acc32 TotWh_SF, TotWhExpPhB acc32 TotWh_SF, TotWhExpPhC
acc32 TotWh_SF, TotWhImp acc32 TotWh_SF, TotWhImpPhA acc32 TotWh_SF, TotWhImpPhB acc32 TotWh_SF,
TotWhImpPhC acc32 TotWh_SF, TotWh_SF sunssf, TotVAhExp acc32 TotVAh_SF, TotVAhExpPhA acc32 TotVAh_SF,
TotVAhExpPhB acc32 TotVAh_SF, TotVAhExpPhC acc32 TotVAh_SF, TotVAhImp acc32 TotVAh_SF, TotVAhImpPhA acc32
TotVAh_SF, TotVAhImpPhB acc32 TotVAh_SF, TotVAhImpPhC acc32 TotVAh_SF, TotVAh_SF sunssf, TotVArhImpQ1
acc32 TotVArh_SF, TotVArhImpQ1PhA acc32 TotVArh_SF, TotVArhImpQ1PhB acc32 TotVArh_SF, TotVArhImpQ1PhC
acc32 TotVArh_SF, TotVArhImpQ2 acc32 TotVArh_SF, TotVArhImpQ2PhA acc32 TotVArh_SF, TotVArhImpQ2PhB acc32
TotVArh_SF, TotVArhImpQ2PhC acc32 TotVArh_SF, TotVArhExpQ3 acc32 TotVArh_SF, TotVArhExpQ3PhA acc32
TotVArh_SF, TotVArhExpQ3PhB acc32 TotVArh_SF, TotVArhExpQ3PhC acc32 TotVArh_SF, TotVArhExpQ4 acc32
TotVArh_SF, TotVArhExpQ4PhA acc32 TotVArh_SF, TotVArhExpQ4PhB acc32 TotVArh_SF, TotVArhExpQ4PhC acc32
TotVArh_SF, TotVArh_SF sunssf, Evt bitfield32
""",
    213: """
ID uint16, L uint16, A float32, AphA float32, AphB float32, AphC float32, PhV float32, PhVphA float32,
PhVphB float32, PhVphC float32, PPV float32, PPVphAB float32, PPVphBC float32, PPVphCA float32, Hz
float32, W float32, WphA float32, WphB float32, WphC float32, VA float32, VAphA float32, VAphB float32,
VAphC float32, VAR float32, VARphA float32, VARphB float32, VARphC float32, PF float32, PFphA float32,
PFphB float32, PFphC float32, TotWhExp float32, TotWhExpPhA float32, TotWhExpPhB float32, TotWhExpPhC
float32, TotWhImp float32, TotWhImpPhA float32, TotWhImpPhB float32, TotWhImpPhC float32, TotVAhExp
float32, TotVAhExpPhA float32, TotVAhExpPhB float32, TotVAhExpPhC float32, TotVAhImp float32, TotVAhImpPhA
float32, TotVAhImpPhB float32, TotVAhImpPhC float32, TotVArhImpQ1 float32, TotVArhImpQ1phA float32,
TotVArhImpQ1phB float32, TotVArhImpQ1phC float32, TotVArhImpQ2 float32, TotVArhImpQ2phA float32,
TotVArhImpQ2phB float32, TotVArhImpQ2phC float32, TotVArhExpQ3 float32, TotVArhExpQ3phA float32,
TotVArhExpQ3phB float32, TotVArhExpQ3phC float32, TotVArhExpQ4 float32, TotVArhExpQ4phA float32,
TotVArhExpQ4phB float32, TotVArhExpQ4phC float32, Evt bitfield32
""",
    701: """
ID uint16, L uint16, ACType enum16, St enum16, InvSt enum16, ConnSt enum16, Alrm bitfield32, DERMode
bitfield32, W int16 W_SF, VA int16 VA_SF, Var int16 Var_SF, PF int16 PF_SF, A int16 A_SF, LLV uint16 V_SF,
LNV uint16 V_SF, Hz uint32 Hz_SF, TotWhInj uint64 TotWh_SF, TotWhAbs uint64 TotWh_SF, TotVarhInj uint64
TotVarh_SF, TotVarhAbs uint64 TotVarh_SF, TmpAmb int16 Tmp_SF, TmpCab int16 Tmp_SF, TmpSnk int16 Tmp_SF,
TmpTrns int16 Tmp_SF, TmpSw int16 Tmp_SF, TmpOt int16 Tmp_SF, WL1 int16 W_SF, VAL1 int16 VA_SF, VarL1
int16 Var_SF, PFL1 int16 PF_SF, AL1 int16 A_SF, VL1L2 uint16 V_SF, VL1 uint16 V_SF, TotWhInjL1 uint64
TotWh_SF, TotWhAbsL1 uint64 TotWh_SF, TotVarhInjL1 uint64 TotVarh_SF, TotVarhAbsL1 uint64 TotVarh_SF, WL2
int16 W_SF, VAL2 int16 VA_SF, VarL2 int16 Var_SF, PFL2 int16 PF_SF, AL2 int16 A_SF, VL2L3 uint16 V_SF, VL2
uint16 V_SF, TotWhInjL2 uint64 TotWh_SF, TotWhAbsL2 uint64 TotWh_SF, TotVarhInjL2 uint64 TotVarh_SF,
TotVarhAbsL2 uint64 TotVarh_SF, WL3 int16 W_SF, VAL3 int16 VA_SF, VarL3 int16 Var_SF, PFL3 int16 PF_SF,
AL3 int16 A_SF, VL3L1 uint16 V_SF, VL3 uint16 V_SF, TotWhInjL3 uint64 TotWh_SF, TotWhAbsL3 uint64
TotWh_SF, TotVarhInjL3 uint64 TotVarh_SF, TotVarhAbsL3 uint64 TotVarh_SF, ThrotPct uint16, ThrotSrc
bitfield32, A_SF sunssf, V_SF sunssf, Hz_SF sunssf, W_SF sunssf, PF_SF sunssf, VA_SF sunssf, Var_SF
sunssf, TotWh_SF sunssf, TotVarh_SF sunssf, Tmp_SF sunssf, MnAlrmInfo string32
""",
    702: """
ID uint16, L uint16, WMaxRtg uint16 W_SF, WOvrExtRtg uint16 W_SF, WOvrExtRtgPF uint16 PF_SF, WUndExtRtg
uint16 W_SF, WUndExtRtgPF uint16 PF_SF, VAMaxRtg uint16 VA_SF, VarMaxInjRtg uint16 Var_SF, VarMaxAbsRtg
uint16 Var_SF, WChaRteMaxRtg uint16 W_SF, WDisChaRteMaxRtg uint16 W_SF, VAChaRteMaxRtg uint16 VA_SF,
VADisChaRteMaxRtg uint16 VA_SF, VNomRtg uint16 V_SF, VMaxRtg uint16 V_SF, VMinRtg uint16 V_SF, AMaxRtg
uint16 A_SF, PFOvrExtRtg uint16 PF_SF, PFUndExtRtg uint16 PF_SF, ReactSusceptRtg uint16 S_SF, NorOpCatRtg
enum16, AbnOpCatRtg enum16, CtrlModes bitfield32, IntIslandCatRtg bitfield16, WMax uint16 W_SF, WMaxOvrExt
uint16 W_SF, WOvrExtPF uint16 PF_SF, WMaxUndExt uint16 W_SF, WUndExtPF uint16 PF_SF, VAMax uint16 VA_SF,
VarMaxInj uint16 Var_SF, VarMaxAbs uint16 Var_SF, WChaRteMax uint16 W_SF, WDisChaRteMax uint16 W_SF,
VAChaRteMax uint16 VA_SF, VADisChaRteMax uint16 VA_SF, VNom uint16 V_SF, VMax uint16 V_SF, VMin uint16
V_SF, AMax uint16 A_SF, PFOvrExt uint16 PF_SF, PFUndExt uint16 PF_SF, IntIslandCat bitfield16, W_SF
sunssf, PF_SF sunssf, VA_SF sunssf, Var_SF sunssf, V_SF sunssf, A_SF sunssf, S_SF sunssf
""",
    704: """
ID uint16, L uint16, PFWInjEna enum16, PFWInjEnaRvrt enum16, PFWInjRvrtTms uint32, PFWInjRvrtRem uint32,
PFWAbsEna enum16, PFWAbsEnaRvrt enum16, PFWAbsRvrtTms uint32, PFWAbsRvrtRem uint32, WMaxLimPctEna enum16,
WMaxLimPct uint16 WMaxLimPct_SF, WMaxLimPctRvrt uint16 WMaxLimPct_SF, WMaxLimPctEnaRvrt enum16,
WMaxLimPctRvrtTms uint32, WMaxLimPctRvrtRem uint32, WSetEna enum16, WSetMod enum16, WSet int32 WSet_SF,
WSetRvrt int32 WSet_SF, WSetPct int16 WSetPct_SF, WSetPctRvrt int16 WSetPct_SF, WSetEnaRvrt enum16,
WSetRvrtTms uint32, WSetRvrtRem uint32, VarSetEna enum16, VarSetMod enum16, VarSetPri enum16, VarSet int32
VarSet_SF, VarSetRvrt int32 VarSet_SF, VarSetPct int16 VarSetPct_SF, VarSetPctRvrt int16 VarSetPct_SF,
VarSetEnaRvrt enum16, VarSetRvrtTms uint32, VarSetRvrtRem uint32, WRmp uint16, WRmpRef enum16, VarRmp
uint16, AntiIslEna enum16, PF_SF sunssf, WMaxLimPct_SF sunssf, WSet_SF sunssf, WSetPct_SF sunssf,
VarSet_SF sunssf, VarSetPct_SF sunssf, PFWInj_PF uint16 PF_SF, PFWInj_Ext enum16, PFWInjRvrt_PF uint16
PF_SF, PFWInjRvrt_Ext enum16, PFWAbs_PF uint16 PF_SF, PFWAbs_Ext enum16, PFWAbsRvrt_PF uint16 PF_SF,
PFWAbsRvrt_Ext enum16
""",
    713: """
ID uint16, L uint16, WHRtg uint16 WH_SF, WHAvail uint16 WH_SF, SoC uint16 Pct_SF, SoH uint16 Pct_SF, Sta
enum16, WH_SF sunssf, Pct_SF sunssf
""",
    802: """
ID uint16, L uint16, AHRtg uint16 AHRtg_SF, WHRtg uint16 WHRtg_SF, WChaRteMax uint16 WChaDisChaMax_SF,
WDisChaRteMax uint16 WChaDisChaMax_SF, DisChaRte uint16 DisChaRte_SF, SoCMax uint16 SoC_SF, SoCMin uint16
SoC_SF, SocRsvMax uint16 SoC_SF, SoCRsvMin uint16 SoC_SF, SoC uint16 SoC_SF, DoD uint16 DoD_SF, SoH uint16
SoH_SF, NCyc uint32, ChaSt enum16, LocRemCtl enum16, Hb uint16, CtrlHb uint16, AlmRst uint16, Typ enum16,
State enum16, StateVnd enum16, WarrDt uint32, Evt1 bitfield32, Evt2 bitfield32, EvtVnd1 bitfield32,
EvtVnd2 bitfield32, V uint16 V_SF, VMax uint16 V_SF, VMin uint16 V_SF, CellVMax uint16 CellV_SF,
CellVMaxStr uint16, CellVMaxMod uint16, CellVMin uint16 CellV_SF, CellVMinStr uint16, CellVMinMod uint16,
CellVAvg uint16 CellV_SF, A int16 A_SF, AChaMax uint16 AMax_SF, ADisChaMax uint16 AMax_SF, W int16 W_SF,
ReqInvState enum16, ReqW int16 W_SF, SetOp enum16, SetInvState enum16, AHRtg_SF sunssf, WHRtg_SF sunssf,
WChaDisChaMax_SF sunssf, DisChaRte_SF sunssf, SoC_SF sunssf, DoD_SF sunssf, SoH_SF sunssf, V_SF sunssf,
CellV_SF sunssf, A_SF sunssf, AMax_SF sunssf, W_SF sunssf
""",
    "160 module": """
ID uint16, IDStr string8, DCA uint16 DCA_SF, DCV uint16 DCV_SF, DCW uint16 DCW_SF, DCWH acc32 DCWH_SF, Tms
uint32, Tmp int16, DCSt enum16, DCEvt bitfield32
""",
}
